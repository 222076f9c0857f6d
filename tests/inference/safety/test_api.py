"""`/v1/safety_policy` and what the screens found: versions, patches, one model's own policy, trials, strangers."""

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from inference.catalogue import forget_terms
from inference.models import SafetyPolicy, Screening
from inference.safety import policies
from inference.safety.policies import forget_policies, merged, policy_in_force, remembered_policy
from inference.safety.text import Hit
from inference.safety.verdicts import Verdicts, record_screenings
from tenants.api_keys import issue
from tenants.audit import COMMAND_LINE
from tenants.models import AuditEvent
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

POLICY = {
    "input": {"personal_data": {"action": "mask"}, "deny_list": {"action": "block"}},
    "deny_list": ["Project Halcyon"],
}
URL = "/v1/safety_policy"


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    forget_policies()
    forget_terms()


def put(member: Member, policy: Any, **query: str) -> Any:
    return member.client.put(URL, policy, format="json", query_params=query)


def names(member: Member, alias: str) -> Any:
    with acting_for(member.tenant.id):
        policy = policy_in_force(alias)
    return policy and policy.settings.names()


def test_without_a_policy_nothing_is_screened(acme: Member) -> None:
    body = acme.client.get(URL).json()
    assert (body["id"], body["version"], body["model"]) == (None, 0, None)
    assert body["settings"] == {
        "input": {}, "passages": {}, "output": {"tool_calls": True}, "deny_list": [], "profanity": [],
    }  # fmt: skip
    assert names(acme, "m") is None
    with acting_for(acme.tenant.id):
        assert remembered_policy(acme.tenant.id, "m") == (None,)


def test_a_policy_is_replaced_and_changed_by_versions_that_stay(acme: Member) -> None:
    first = put(acme, POLICY).json()
    assert first["version"] == 1 and first["settings"]["input"]["personal_data"]["action"] == "mask"
    patch = {"input": {"personal_data": None, "secrets": {"action": "flag"}}, "profanity": ["gosh"]}
    second = acme.client.patch(URL, patch, format="json").json()
    assert second["version"] == 2 and set(second["settings"]["input"]) == {"deny_list", "secrets"}
    assert second["settings"]["deny_list"] == ["Project Halcyon"] and second["settings"]["profanity"] == ["gosh"]
    assert names(acme, "any") == {"input": ["secrets", "deny_list"], "passages": [], "output": []}
    assert acme.client.delete(URL).status_code == 204 and acme.client.delete(URL).status_code == 204
    assert names(acme, "any") is None
    listed = acme.client.get(f"{URL}/versions").json()["data"]
    assert [(one["version"], one["settings"] is None) for one in listed] == [(3, True), (2, False), (1, False)]
    assert put(acme, listed[2]["settings"]).json()["settings"] == first["settings"]


def test_a_models_own_policy_counts_whole_and_goes_again(acme: Member) -> None:
    put(acme, POLICY)
    own = put(acme, {"output": {"secrets": {"action": "block"}}}, model="local-extractive").json()
    assert (own["model"], own["version"]) == ("local-extractive", 1)
    assert names(acme, "local-extractive") == {"input": [], "passages": [], "output": ["secrets"]}
    assert names(acme, "another")["input"] == ["personal_data", "deny_list"]
    assert acme.client.delete(f"{URL}?model=local-extractive").status_code == 204
    assert names(acme, "local-extractive")["input"] == ["personal_data", "deny_list"]
    refused = put(acme, {}, model="nobodys")
    assert (refused.status_code, refused.json()["error"]["code"]) == (404, "model_not_found")


@pytest.mark.parametrize(
    ("policy", "param"),
    [
        ({"inptu": {}}, "inptu"),
        ({"input": {"secretz": {"action": "block"}}}, "input.secretz"),
        ({"input": {"secrets": {"action": "burn"}}}, "input.secrets.action"),
        ({"input": {"secrets": {}}}, "input.secrets.action"),
        ({"output": {"prompt_injection": {"action": "block"}}}, "output.prompt_injection"),
        ({"passages": {"moderation": {"action": "block", "model": "m"}}}, "passages.moderation"),
        ({"input": {"moderation": {"action": "mask", "model": "m"}}}, "input.moderation.action"),
        ({"input": {"moderation": {"action": "block", "model": "m"}}}, "input.moderation.model"),
        ({"input": {"moderation": {"action": "block", "model": "local-extractive"}}}, "input.moderation.model"),
        ({"input": {"personal_data": {"action": "mask", "entities": ["NOSE"]}}}, "input.personal_data.entities"),
        ({"input": {"personal_data": {"action": "mask", "phone_regions": ["XX"]}}}, "input.personal_data.phone_regions"),
        ({"input": {"profanity": {"action": "mask", "languages": ["xx"]}}}, "input.profanity.languages.0"),
        ({"input": {"moderation": {"action": "block", "model": "m", "thresholds": {"violence": 2}}}}, "input.moderation.t"),
        ({"deny_list": [" "]}, "deny_list"),
        ({"deny_list": ["x" * 201]}, "deny_list"),
        ({"deny_list": ["x"] * 10_001}, "deny_list"),
        ({"deny_list": ["y" * length for length in range(1, 30)]}, "deny_list"),
        ({"deny_list": ["nul\0"]}, None),
        (["a list"], None),
    ],
)  # fmt: skip
def test_what_is_no_policy_is_refused_by_name_and_changes_nothing(acme: Member, policy: Any, param: str | None) -> None:
    answer = put(acme, policy)
    assert answer.status_code == 400, answer.content
    error = answer.json()["error"]
    assert error["code"] == "invalid_value" and (param is None or str(error["param"]).startswith(param)), error
    assert acme.client.get(URL).json()["version"] == 0


def test_the_audit_log_says_who_switched_what_and_nothing_of_the_lists(acme: Member) -> None:
    put(acme, POLICY)
    with acting_for(acme.tenant.id), tenant_scope():
        event = AuditEvent.objects.get(action="safety_policy.changed")
        row = SafetyPolicy.objects.get()
    assert (event.actor_type, event.object_id) == ("api_key", str(row.id))
    assert event.changes == {
        "model": None, "version": 1, "input": ["personal_data", "deny_list"], "passages": [], "output": [],
        "deny_list": 1, "profanity": 0,
    }  # fmt: skip


def test_a_trial_shows_what_would_become_of_a_text_and_keeps_nothing(acme: Member) -> None:
    put(acme, POLICY)
    text = "I am ann@example.com and ask about project halcyon, please"
    tried = acme.client.post(f"{URL}/try", {"text": text}, format="json").json()
    assert (tried["action"], tried["text"]) == ("block", "I am <EMAIL_ADDRESS> and ask about ")
    assert [(one["screen"], text[one["start"] : one["end"]]) for one in tried["findings"]] == [
        ("personal_data", "ann@example.com"), ("deny_list", "project halcyon"),
    ]  # fmt: skip
    assert acme.client.post(f"{URL}/try", {"text": text, "stage": "output"}, format="json").json()["action"] == "none"
    draft = {"text": text, "settings": {"input": {"personal_data": {"action": "flag"}}}}
    assert acme.client.post(f"{URL}/try", draft, format="json").json()["text"] == text
    assert acme.client.post(f"{URL}/try", {"text": "x" * 100_001}, format="json").status_code == 400
    assert acme.client.post(f"{URL}/try", {"text": "x", "stage": "nowhere"}, format="json").status_code == 400
    assert acme.client.get("/v1/safety_screenings").json()["data"] == []


def test_a_key_that_may_read_may_try_and_not_change(acme: Member) -> None:
    with acting_for(acme.tenant.id):
        _, key = issue(name="reader", scopes=["safety.read"], by=COMMAND_LINE)
    reader = Member(acme.tenant, key)
    assert reader.client.get(URL).status_code == 200
    assert reader.client.post(f"{URL}/try", {"text": "x"}, format="json").status_code == 200
    assert put(reader, POLICY).status_code == 403 and reader.client.delete(URL).status_code == 403


def test_policies_and_finds_are_their_tenants_own(acme: Member, globex: Member) -> None:
    put(acme, POLICY)
    call = UUID(int=5)
    for member in (acme, globex):
        verdicts = Verdicts(member.tenant.id)
        verdicts.noting("input", "messages.0.content")(
            Hit("deny_list", "block", "DENIED_TERM", 3, 9, member.tenant.slug)
        )
        with acting_for(member.tenant.id):
            record_screenings(generation_id=call, verdicts=verdicts)
    assert names(globex, "m") is None and globex.client.get(URL).json()["version"] == 0
    for member in (acme, globex):
        found = member.client.get("/v1/safety_screenings", {"call": f"chatcmpl-{call.hex}"}).json()["data"]
        assert [(one["screen"], one["action"], one["count"]) for one in found] == [("deny_list", "block", 1)]
        assert found[0]["details"][0]["place"] == "messages.0.content" and member.tenant.slug not in str(found)
    assert acme.client.get("/v1/safety_screenings", {"call": "chatcmpl-nonsense"}).json()["data"] == []
    with acting_for(acme.tenant.id), tenant_scope():
        assert Screening.objects.count() == 1


def test_while_one_call_asks_again_the_others_go_on_with_what_was_known(
    acme: Member, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [1_000.0]
    monkeypatch.setattr(policies, "time", SimpleNamespace(monotonic=lambda: now[0]))
    put(acme, POLICY)
    names(acme, "m")
    known = remembered_policy(acme.tenant.id, "m")
    assert known is not None and known[0] is not None
    now[0] += 3.1
    assert [remembered_policy(acme.tenant.id, "m") for _ in range(3)] == [None, known, known]
    now[0] += 1.0
    assert remembered_policy(acme.tenant.id, "m") is None  # nobody came back with an answer
    now[0] += 60
    assert [remembered_policy(acme.tenant.id, "m") for _ in range(2)] == [None, None]


def test_patches_merge_as_the_standard_says() -> None:
    # The example of RFC 7396, section 1.
    target = {"a": "b", "c": {"d": "e", "f": "g"}}
    assert merged(target, {"a": "z", "c": {"f": None}}) == {"a": "z", "c": {"d": "e"}}
    assert merged({"a": [1]}, {"a": [2]}) == {"a": [2]} and merged({"a": 1}, None) is None
