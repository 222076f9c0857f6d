"""Webhooks at the admin: made, tried out, rotated, disabled; and sent anew."""

from typing import Any

import openai
import pytest
from django.urls import reverse

from tenants.models import WebhookDelivery, WebhookEndpoint
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.knowledge.sources.servers import Site
from tests.tenants.admin_desk import desk, plain_static_files, seat
from tests.tenants.webhooks.test_delivering import attempt, happens

__all__ = ["plain_static_files"]
PAGE, DELIVERIES = "admin:tenants_webhookendpoint_", "admin:tenants_webhookdelivery_"


def test_a_developer_tends_the_webhooks(acme: Member, web: Site) -> None:
    client = desk(seat(acme, "developer"))

    def post(view: str, form: dict[str, Any], *args: Any) -> str:
        return client.post(reverse(view, args=args), form, follow=True).content.decode()

    form = {"name": "hook", "url": web.url("/in"), "event_types": ["response.completed"]}
    assert "Invalid &#x27;url&#x27;" in post(PAGE + "add", {**form, "url": "https://10.0.0.1/"})
    text = post(PAGE + "add", form)
    secret = text.partition('id="issued-key"')[2].partition(">")[2].partition("<")[0]
    with acting_for(acme.tenant.id), tenant_scope():
        row = WebhookEndpoint.objects.get()
    happens(acme)
    attempt()
    with pytest.raises(openai.InvalidWebhookSignatureError):  # signed for another moment than now
        openai.OpenAI(api_key="none").webhooks.verify_signature(web.seen[0].body, web.seen[0].headers, secret=secret)
    chosen = {"_selected_action": str(row.pk)}
    assert "hook answered with status 204." in post(PAGE + "changelist", {**chosen, "action": "test"})
    openai.OpenAI(api_key="none").webhooks.verify_signature(web.seen[1].body, web.seen[1].headers, secret=secret)
    rotated = post(PAGE + "changelist", {**chosen, "action": "rotate"})
    assert "whsec_" in rotated and secret not in rotated
    post(PAGE + "change", {**form, "name": "renamed", "event_types": ["*"]}, row.pk)
    post(PAGE + "changelist", {**chosen, "action": "disable"})
    with acting_for(acme.tenant.id), tenant_scope():
        changed = WebhookEndpoint.objects.get()
        delivery = WebhookDelivery.objects.earliest("id")
    assert (changed.name, changed.event_types) == ("renamed", ["*"]) and changed.disabled_at is not None
    resend = {"_selected_action": str(delivery.pk), "action": "resend"}
    assert "The endpoint is disabled." in post(DELIVERIES + "changelist", resend)
    post(PAGE + "changelist", {**chosen, "action": "enable"})
    assert "1 will be sent anew." in post(DELIVERIES + "changelist", resend)
    attempt()
    assert len({seen.headers["webhook-id"] for seen in (web.seen[0], web.seen[2])}) == 1
    shown = client.get(reverse(DELIVERIES + "change", args=[delivery.pk])).content.decode()
    assert "taken, status 204" in shown and "response.completed" in shown
