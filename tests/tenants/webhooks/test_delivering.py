"""Deliveries to a real server: signed, tried again, given up, and nobody's who took them over."""

from datetime import UTC, datetime, timedelta
from typing import Any

import openai
import pytest

from tenants import work
from tenants.ids import parse_public_id
from tenants.models import AuditEvent, WebhookDelivery, WebhookEndpoint, WebhookEvent, Work
from tenants.scope import acting_for, tenant_scope
from tenants.webhooks import delivering, emit
from tenants.webhooks.tasks import sweep_webhooks
from tenants.work import Claim
from tests.conftest import Member
from tests.knowledge.sources.servers import Site

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)


def endpoint(member: Member, url: str, *types: str) -> dict[str, Any]:
    """A new endpoint with its secret."""
    asked = {"name": "hook", "url": url, "event_types": list(types) or ["*"]}
    answer = member.client.post("/v1/webhook_endpoints", asked, format="json")
    assert answer.status_code == 200, answer.json()
    return answer.json()


def happens(member: Member, object_id: str = "resp_1", type: str = "response.completed") -> None:
    with acting_for(member.tenant.id), tenant_scope():
        emit(type=type, data={}, object_id=object_id)


def claim() -> Claim:
    found = delivering.claim_next(worker="w")
    assert found is not None
    return found


def attempt(now: datetime = NOW) -> None:
    """Claim the next delivery and try it."""
    held = claim()
    with acting_for(held.tenant_id):
        delivering.run(held, now=now)


def time_passes(member: Member) -> None:
    """What waits for its next attempt waits no longer."""
    with acting_for(member.tenant.id), tenant_scope():
        Work.objects.filter(queue=work.WEBHOOKS).update(available_at=datetime.now(UTC) - timedelta(seconds=1))
    work.tend(work.WEBHOOKS)


def delivery_of(member: Member, **query: str) -> dict[str, Any]:
    [found] = member.client.get("/v1/webhook_deliveries", query).json()["data"]
    return found


def test_a_message_is_verified_by_the_sdk_and_the_delivery_says_so(acme: Member, web: Site) -> None:
    made = endpoint(acme, web.url("/in"), "response.completed")
    happens(acme)
    attempt(datetime.now(UTC))
    [seen] = web.seen
    client = openai.OpenAI(api_key="none", webhook_secret=made["signing_secret"])
    event = client.webhooks.unwrap(seen.body, seen.headers)
    assert (event.type, event.data.id, event.object) == ("response.completed", "resp_1", "event")
    assert seen.headers["webhook-id"] == event.id and seen.headers["content-type"] == "application/json"
    with pytest.raises(openai.InvalidWebhookSignatureError):
        client.webhooks.unwrap(seen.body + b" ", seen.headers)
    delivered = delivery_of(acme, webhook_endpoint_id=made["id"])
    assert (delivered["state"], delivered["event_id"], delivered["next_attempt_at"]) == ("delivered", event.id, None)
    assert [entry["status"] for entry in delivered["attempts"]] == [204]
    assert delivered["event"]["data"] == {"id": "resp_1"}
    assert delivering.claim_next(worker="w") is None
    with acting_for(acme.tenant.id), tenant_scope():
        assert not Work.objects.filter(queue=work.WEBHOOKS).exists()


def test_a_rotation_signs_by_both_secrets_for_a_day(acme: Member, web: Site) -> None:
    made = endpoint(acme, web.url("/in"))
    rotate = f"/v1/webhook_endpoints/{made['id']}/rotate_secret"
    rotated = acme.client.post(rotate, {"keep_old_secret_active_for_24_hours": True}, format="json").json()
    happens(acme)
    now = datetime.now(UTC)
    attempt(now)
    sdk = openai.OpenAI(api_key="none")
    for secret in (made["signing_secret"], rotated["signing_secret"]):
        sdk.webhooks.verify_signature(web.seen[-1].body, web.seen[-1].headers, secret=secret)
    happens(acme)
    attempt(now + timedelta(hours=24, seconds=1))
    assert len(web.seen[-1].headers["webhook-signature"].split()) == 1
    assert acme.client.post(rotate, {}, format="json").json()["signing_secret"] != rotated["signing_secret"]
    happens(acme)
    attempt(now)
    with pytest.raises(openai.InvalidWebhookSignatureError):
        sdk.webhooks.verify_signature(web.seen[-1].body, web.seen[-1].headers, secret=rotated["signing_secret"])


def test_what_is_refused_is_tried_for_three_days_and_then_its_endpoint_is_disabled(acme: Member, web: Site) -> None:
    made = endpoint(acme, web.url("/broken"))
    web.pages["/broken"] = (500, {}, b"no room\x00 today")
    happens(acme)
    now, waited = NOW, []
    for number in range(10):
        attempt(now)
        found = delivery_of(acme)
        if number < 9:
            assert found["state"] == "pending" and delivering.claim_next(worker="w") is None
            waited.append(found["next_attempt_at"] - int(now.timestamp()))
            now = datetime.fromtimestamp(found["next_attempt_at"], UTC)
            time_passes(acme)
    for seconds, planned in zip(waited, (5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400), strict=True):
        assert planned <= seconds <= planned * 1.1 + 1
    assert timedelta(days=3) < now - NOW < timedelta(days=4)
    assert found["state"] == "failed" and len(found["attempts"]) == 10
    assert found["attempts"][-1]["status"] == 500 and found["attempts"][-1]["error"] == "Status 500. no room  today"
    # One message of ten attempts: the same id and the same bytes each time.
    assert len({(seen.headers["webhook-id"], seen.body) for seen in web.seen}) == 1 and len(web.seen) == 10
    at = acme.client.get(f"/v1/webhook_endpoints/{made['id']}").json()
    assert not at["enabled"] and at["disabled_reason"].startswith("Every attempt since 2026-03-01 12:00 UTC failed.")
    happens(acme, "resp_2")
    assert len(acme.client.get("/v1/webhook_deliveries").json()["data"]) == 1  # nothing is written for it any more
    resend = f"/v1/webhook_deliveries/{found['id']}/resend"
    refused = acme.client.post(resend)
    assert (refused.status_code, refused.json()["error"]["code"]) == (409, "webhook_endpoint_disabled")
    changed = acme.client.post(f"/v1/webhook_endpoints/{made['id']}", {"enabled": True}, format="json").json()
    assert changed["enabled"] and changed["failing_since"] is None
    web.pages["/broken"] = (200, {}, b"")
    assert acme.client.post(resend).json()["state"] == "pending"
    attempt(now)
    again = delivery_of(acme)
    assert again["state"] == "delivered" and again["event_id"] == found["event_id"] and len(again["attempts"]) == 11
    with acting_for(acme.tenant.id), tenant_scope():
        actions = AuditEvent.objects.filter(action__startswith="webhook").values_list("action", flat=True)
        assert sorted(actions) == [
            "webhook_delivery.resent", "webhook_endpoint.changed", "webhook_endpoint.created",
            "webhook_endpoint.disabled",
        ]  # fmt: skip


def test_answers_that_are_no_plain_failures(acme: Member, web: Site) -> None:
    made = endpoint(acme, web.url("/moved"))
    web.pages["/moved"] = (302, {"Location": web.url("/in")}, b"")
    happens(acme)
    attempt()
    assert [seen.path for seen in web.seen] == ["/moved"] and delivery_of(acme)["state"] == "pending"
    web.pages["/moved"] = (429, {"Retry-After": "3600"}, b"")
    time_passes(acme)
    attempt()
    assert delivery_of(acme)["next_attempt_at"] == int(NOW.timestamp()) + 3600
    web.pages["/moved"] = (410, {}, b"")
    time_passes(acme)
    attempt()
    assert not acme.client.get(f"/v1/webhook_endpoints/{made['id']}").json()["enabled"]
    time_passes(acme)
    attempt()
    ended = delivery_of(acme)
    assert ended["state"] == "failed" and ended["attempts"][-1]["error"] == "The endpoint is disabled."
    assert len(web.seen) == 3


def test_nothing_is_sent_to_an_address_that_is_not_public(acme: Member, web: Site, settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = []
    settings.FETCH_ALLOWED_NETWORKS = ["127.0.0.0/8"]  # of documents: another door
    for url in (web.url("/in"), "https://127.0.0.1/in", "https://[::ffff:10.0.0.1]/", "ftp://example.org/", "x"):
        asked = {"name": "n", "url": url, "event_types": ["*"]}
        refused = acme.client.post("/v1/webhook_endpoints", asked, format="json")
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, "url"), url
    made = endpoint(acme, f"https://localhost:{web.port}/in")
    happens(acme)
    attempt()
    tried = delivery_of(acme)
    assert tried["state"] == "pending" and tried["attempts"][0]["status"] is None
    assert tried["attempts"][0]["error"] == "localhost does not lead to a public address."
    test = acme.client.post(f"/v1/webhook_endpoints/{made['id']}/test", {}, format="json")
    assert (test.status_code, test.json()["error"]["code"]) == (400, "webhook_endpoint_unreachable")
    assert web.connections == 0


def test_an_attempt_that_was_taken_over_writes_nothing(acme: Member, web: Site) -> None:
    endpoint(acme, web.url("/in"))
    happens(acme)
    dead = claim()
    with acting_for(acme.tenant.id), tenant_scope():
        Work.objects.filter(id=dead.id).update(lease_until=datetime.now(UTC) - timedelta(seconds=1))
    sweep_webhooks.apply()  # rings nobody here; what it does to the rows is what counts
    with acting_for(acme.tenant.id):
        delivering.run(dead, now=NOW)
    after = delivery_of(acme)
    assert after["state"] == "pending" and [entry["error"] for entry in after["attempts"]] == ["The worker died."]
    time_passes(acme)
    attempt()
    assert delivery_of(acme)["state"] == "delivered"


def test_one_tenants_slow_endpoints_leave_places_to_others(acme: Member, globex: Member, web: Site) -> None:
    endpoint(acme, web.url("/in"))
    endpoint(globex, web.url("/in"))
    for number in range(6):
        happens(acme, f"resp_{number}")
    happens(globex)
    held = []
    while (found := delivering.claim_next(worker="w")) is not None:
        held.append(found.tenant_id)
    assert held.count(acme.tenant.id) == delivering.MOST_RUNNING and held.count(globex.tenant.id) == 1


def test_what_goes_to_failing_endpoints_waits_behind_the_rest(acme: Member, web: Site) -> None:
    failing = endpoint(acme, web.url("/broken"))
    happens(acme)
    attempt(datetime.now(UTC))
    endpoint(acme, web.url("/in"))
    happens(acme, "resp_2")
    first = claim()
    with acting_for(acme.tenant.id), tenant_scope():
        behind = parse_public_id("we_", failing["id"])
        assert WebhookEndpoint.objects.get(id=behind).failing_since is not None
        assert WebhookDelivery.objects.get(id=first.id).endpoint_id != behind


def test_a_test_is_sent_at_once_and_never_again(acme: Member, web: Site) -> None:
    made = endpoint(acme, web.url("/in"), "file.failed")
    path = f"/v1/webhook_endpoints/{made['id']}/test"
    answer = acme.client.post(path, {"event_type": "batch.completed"}, format="json").json()
    assert (answer["success"], answer["status_code"], answer["event_type"]) == (True, 204, "batch.completed")
    assert web.seen[0].headers["webhook-signature"].startswith("v1,")
    web.pages["/in"] = (500, {}, b"")
    assert acme.client.post(path, {}, format="json").json()["status_code"] == 500
    states = [found["state"] for found in acme.client.get("/v1/webhook_deliveries").json()["data"]]
    assert states == ["failed", "delivered"] and delivering.claim_next(worker="w") is None
    assert acme.client.post(path, {"event_type": "x"}, format="json").json()["error"]["param"] == "event_type"
    codes = {acme.client.post(path, {"event_type": "x"}, format="json").status_code for _ in range(10)}
    assert codes == {400, 429}


def test_a_deleted_endpoint_gets_nothing_more_and_old_events_are_forgotten(acme: Member, web: Site) -> None:
    made, other = endpoint(acme, web.url("/in")), endpoint(acme, web.url("/in"))
    happens(acme)
    assert acme.client.delete(f"/v1/webhook_endpoints/{made['id']}").json()["deleted"]
    for _ in range(2):
        attempt()
    assert len(web.seen) == 1
    with acting_for(acme.tenant.id), tenant_scope():
        WebhookEvent.objects.update(created_at=NOW - timedelta(days=31))
    happens(acme, "resp_2")
    attempt()
    assert delivery_of(acme)["event"]["data"]["id"] == "resp_2"
    assert acme.client.get(f"/v1/webhook_endpoints/{made['id']}").status_code == 404
    assert [found["id"] for found in acme.client.get("/v1/webhook_endpoints").json()["data"]] == [other["id"]]


def test_bad_requests_are_told_what_is_wrong(acme: Member, web: Site) -> None:
    url = web.url("/in")
    for asked, param in (
        ({"name": "n", "url": url, "event_types": ["file.eaten"]}, "event_types"),
        ({"name": "n", "url": url, "event_types": []}, "event_types"),
        ({"url": url, "event_types": ["*"]}, "name"),
    ):
        refused = acme.client.post("/v1/webhook_endpoints", asked, format="json")
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    made = [endpoint(acme, url) for _ in range(20)]
    full = acme.client.post("/v1/webhook_endpoints", {"name": "n", "url": url, "event_types": ["*"]}, format="json")
    assert (full.status_code, full.json()["error"]["code"]) == (409, "too_many_webhook_endpoints")
    path = f"/v1/webhook_endpoints/{made[0]['id']}"
    changed = acme.client.post(path, {"event_types": ["file.failed"], "name": "new"}, format="json").json()
    assert (changed["event_types"], changed["name"], changed["url"]) == (["file.failed"], "new", url)
    assert "signing_secret" not in changed and changed["signing_secret_hint"].endswith(made[0]["signing_secret"][-4:])
    for query in ({"state": "lost"}, {"event_type": "x"}):
        assert acme.client.get("/v1/webhook_deliveries", query).status_code == 400
    types = acme.client.get("/v1/webhook_event_types").json()["data"]
    assert {"budget.alert", "statement.closed", "report.ready", "response.completed"} <= set(types)
