"""Webhooks at the admin: made, tried out, rotated, disabled; and sent anew."""

from datetime import UTC, datetime
from typing import Any

import openai
import pytest
from django.urls import reverse

from tenants.audit import COMMAND_LINE
from tenants.models import WebhookDelivery, WebhookEndpoint, Work
from tenants.scope import acting_for, tenant_scope
from tenants.webhooks.endpoints import create_endpoint
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
    assert "Tests are on their way." in post(PAGE + "changelist", {**chosen, "action": "test"})
    attempt(datetime.now(UTC))
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


def test_an_endpoints_page_tries_it_out_once_and_says_what_came_of_it(acme: Member, web: Site) -> None:
    web.pages["/broken"] = (500, {}, b"out of <b>order</b>")
    client = desk(seat(acme, "developer"))
    with acting_for(acme.tenant.id), tenant_scope():
        row, secret = create_endpoint(
            name="hook", url=web.url("/broken"), event_types=["*"], by=COMMAND_LINE, now=datetime.now(UTC)
        )
    page = reverse("admin:webhook_endpoint", args=[row.id])
    assert "Nothing was sent yet." in client.get(page).content.decode()
    client.post(page, {"do": "test", "event_type": "batch.failed"})
    assert 'hx-trigger="every 2s"' in client.get(page).content.decode()
    attempt()
    shown = client.get(page).content.decode()
    assert "Status 500. out of &lt;b&gt;order" in shown and "hx-trigger" not in shown and secret not in shown
    with acting_for(acme.tenant.id), tenant_scope():
        delivery = WebhookDelivery.objects.get()
        assert (delivery.state, delivery.attempts, Work.objects.count()) == ("failed", 1, 0)
        assert WebhookEndpoint.objects.get().failing_since is None
    detail = reverse("admin:webhook_delivery", args=[delivery.id])
    shown = client.get(detail).content.decode()
    assert "batch.failed" in shown and "Status 500. out of &lt;b&gt;order" in shown
    client.post(detail, {"do": "resend"})
    attempt()
    assert [seen.headers["webhook-id"] for seen in web.seen] == [web.seen[0].headers["webhook-id"]] * 2


def test_an_endpoints_page_rotates_its_secret_and_puts_it_back(acme: Member, web: Site) -> None:
    client = desk(seat(acme, "developer"))
    with acting_for(acme.tenant.id), tenant_scope():
        row, secret = create_endpoint(
            name="hook", url=web.url("/in"), event_types=["*"], by=COMMAND_LINE, now=datetime.now(UTC)
        )
    page = reverse("admin:webhook_endpoint", args=[row.id])
    shown = client.post(page, {"do": "rotate", "overlap": "3600"})
    assert "whsec_" in shown.content.decode() and secret not in shown.content.decode()
    assert "no-store" in shown["cache-control"]
    assert "signed by the old one too until" in client.get(page).content.decode()
    client.post(page, {"do": "disable"})
    assert "Enable again" in client.get(page).content.decode()
    refused = client.post(page, {"do": "test"}, follow=True).content.decode()
    assert "The endpoint is disabled." in refused
    client.post(page, {"do": "enable"})
    with acting_for(acme.tenant.id), tenant_scope():
        assert WebhookEndpoint.objects.get().disabled_at is None
    for wrong in ({"do": "explode"}, {"do": "rotate", "overlap": "-1"}):
        assert client.post(page, wrong).status_code == 302
    with acting_for(acme.tenant.id), tenant_scope():
        assert WebhookEndpoint.objects.get().previous_ends_at is not None


def test_webhooks_of_others_have_no_page(acme: Member, globex: Member, web: Site) -> None:
    with acting_for(acme.tenant.id), tenant_scope():
        row, _ = create_endpoint(
            name="hook", url=web.url("/in"), event_types=["*"], by=COMMAND_LINE, now=datetime.now(UTC)
        )
    happens(acme)
    with acting_for(acme.tenant.id), tenant_scope():
        delivery = WebhookDelivery.objects.get()
    for who, status in ((seat(globex, "owner"), 404), (seat(acme, "finance"), 403)):
        client = desk(who)
        for name, ident, do in (("endpoint", row.id, "disable"), ("delivery", delivery.id, "resend")):
            url = reverse(f"admin:webhook_{name}", args=[ident])
            assert client.get(url).status_code == status
            assert client.post(url, {"do": do}).status_code == status
    with acting_for(acme.tenant.id), tenant_scope():
        assert WebhookEndpoint.objects.get().disabled_at is None
