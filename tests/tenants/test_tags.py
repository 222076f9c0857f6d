"""Allocation tags: who sets them, and what a call is tagged with."""

from datetime import UTC, datetime

import pytest

from tenants.api_keys import caller_of_key
from tenants.models import ApiKey, AuditEvent
from tenants.scope import acting_for, tenant_scope
from tenants.tags import tags_of_call
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]


def the_caller(member):
    with acting_for(member.tenant.id):
        with tenant_scope():
            key = ApiKey.objects.get()
        return caller_of_key(key_id=key.id, now=datetime.now(UTC))


def key_url(member):
    return f"/v1/api_keys/{member.client.get('/v1/api_keys').json()['data'][0]['id']}"


def test_a_call_has_its_keys_tags_and_what_is_activated_of_its_metadata(acme):
    assert acme.client.post("/v1/allocation_tags", {"names": ["team", "feature", "app"]}).json() == {
        "object": "allocation_tags",
        "names": ["app", "feature", "team"],
    }
    assert acme.client.post(key_url(acme), {"tags": {"team": "search"}}).json()["tags"] == {"team": "search"}
    caller = the_caller(acme)
    said = {"feature": "f" * 300, "app": "a\nb", "team": "ads", "other": "x"}
    # The key's own goes before what the client says; what cannot be a value is made to fit.
    assert tags_of_call(caller, said) == {"team": "search", "feature": "f" * 256, "app": "a b"}
    assert tags_of_call(caller, None) == tags_of_call(caller, {"app": ""}) == {"team": "search"}


def test_a_new_key_may_have_tags(acme):
    body = {"name": "n", "scopes": ["inference"], "tags": {"team": "a", "cost center": "7"}}
    made = acme.client.post("/v1/api_keys", body)
    assert (made.status_code, made.json()["tags"]) == (201, {"cost center": "7", "team": "a"})


@pytest.mark.parametrize("tags", [{"": "x"}, {"a" * 65: "x"}, {" a": "x"}, {"a\x00": "x"}, {"ü": "x"}, {"a": ""},
                                  {"a": "x" * 257}, {"a": "\n"}, {f"n{n}": "x" for n in range(17)}])  # fmt: skip
def test_a_tag_that_cannot_be_is_refused_and_nothing_changes(acme, tags):
    url = key_url(acme)
    for answer in (
        acme.client.post(url, {"tags": tags}),
        acme.client.post("/v1/api_keys", {"name": "n", "scopes": ["inference"], "tags": tags}),
    ):
        assert (answer.status_code, answer.json()["error"]["type"]) == (400, "invalid_request_error")
    assert acme.client.get(url).json()["tags"] == {}
    assert len(acme.client.get("/v1/api_keys").json()["data"]) == 1


@pytest.mark.parametrize("names", [["\x00"], ["x" * 65], [f"n{n}" for n in range(17)], "team", [{}]])
def test_names_that_cannot_be_are_refused(acme, names):
    answer = acme.client.post("/v1/allocation_tags", {"names": names})
    assert answer.status_code == 400
    assert acme.client.get("/v1/allocation_tags").json()["names"] == []


def test_admins_tag_keys_and_owners_activate_names(acme):
    with acting_for(acme.tenant.id), tenant_scope():
        key = ApiKey.objects.get()
    page = f"/admin/tenants/apikey/{key.id}/change/"
    developer = desk(seat(acme, "developer"))
    assert "team = ads" not in developer.get(page).content.decode()
    assert developer.post(page, {"tags": "team = ads\ncost center=7"}).status_code == 302
    assert "cost center = 7" in developer.get(page).content.decode()
    assert developer.post(page, {"tags": "nonsense"}).status_code == 200
    owner = desk(seat(acme, "owner"))
    form = {"name": "Acme", "content_retention_days": "30", "allocation_tags": "team,app"}
    assert owner.post(f"/admin/tenants/tenant/{acme.tenant.id}/change/", form).status_code == 302
    caller = the_caller(acme)
    assert (dict(caller.tags), caller.allocation_tags) == ({"cost center": "7", "team": "ads"}, ("app", "team"))
    with acting_for(acme.tenant.id), tenant_scope():
        events = dict(AuditEvent.objects.filter(action__contains="tag").values_list("action", "changes"))
    assert events == {
        "api_key.tagged": {"tags": [{}, {"cost center": "7", "team": "ads"}]},
        "allocation_tags.set": {"names": ["", "app, team"]},
    }
