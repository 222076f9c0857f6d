"""The page of a safety policy: what it saves, what it keeps, what a trial shows, who may do which."""

import pytest

from inference.models import SafetyPolicy
from inference.safety.policies import current_policy, set_policy
from inference.safety.policy import SafetySettings
from tenants.audit import COMMAND_LINE
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]
PAGE = "/admin/safety/policy/"
FORM = {
    "version": "0",
    "act": "save",
    "input.personal_data": "mask",
    "deny_list": "Halcyon\n\n two words ",
    "tool_calls": "on",
}


def settings_of(member: Member, alias: str = "") -> SafetySettings:
    with acting_for(member.tenant.id):
        return current_policy(alias)[1]


def save(member: Member, settings: dict) -> None:
    with acting_for(member.tenant.id):
        set_policy(settings=SafetySettings.model_validate(settings), by=COMMAND_LINE)


def test_the_form_saves_a_version(acme):
    client = desk(seat(acme, "admin"))
    assert client.post(PAGE, FORM).status_code == 302
    saved = settings_of(acme)
    assert saved.names() == {"input": ["personal_data"], "passages": [], "output": []}
    assert saved.deny_list == ["Halcyon", "two words"]
    assert "Version 1, saved" in client.get(PAGE).content.decode()


def test_the_form_keeps_what_it_does_not_show(acme):
    regions = {"action": "flag", "phone_regions": ["DE"], "entities": ["EMAIL_ADDRESS"]}
    save(acme, {"input": {"personal_data": regions}, "output": {"personal_data": {"action": "mask"}}})
    form = {**FORM, "version": "1", "input.personal_data": "block", "output.personal_data": "mask"}
    desk(seat(acme, "owner")).post(PAGE, form)
    saved = settings_of(acme)
    assert saved.input.personal_data.model_dump() == {**regions, "action": "block"}
    assert saved.output.personal_data.entities == "all"


def test_the_second_of_two_admins_is_told_and_loses_nothing(acme):
    first, second = desk(seat(acme, "owner")), desk(seat(acme, "admin"))
    first.post(PAGE, {**FORM, "deny_list": "from the first"})
    page = second.post(PAGE, {**FORM, "deny_list": "from the second"}).content.decode()
    assert "owner@acme.example saved another version" in page and "from the second" in page
    assert settings_of(acme).deny_list == ["from the first"]
    second.post(PAGE, {**FORM, "version": "1", "deny_list": "from the second"})
    assert settings_of(acme).deny_list == ["from the second"]


def test_a_refusal_keeps_what_was_typed(acme):
    page = desk(seat(acme, "owner")).post(PAGE, {**FORM, "deny_list": "x" * 300}).content.decode()
    assert "a term has 1 to 200 characters" in page
    assert settings_of(acme) == SafetySettings()


def test_a_trial_shows_what_each_screen_finds_and_what_would_go_on(acme):
    form = {**FORM, "act": "try", "input.deny_list": "block", "stage": "input"}
    form["text"] = "<b>Ask</b> ada@example.com about HALCYON today"
    page = desk(seat(acme, "developer")).post(PAGE, form)
    found = page.context["trial"]
    assert [(hit.screen, hit.action, hit.text) for hit in found.findings] == [
        ("personal_data", "mask", "ada@example.com"), ("deny_list", "block", "HALCYON"),
    ]  # fmt: skip
    assert found.text == "<b>Ask</b> <EMAIL_ADDRESS> about "
    assert "".join(piece.text for piece in page.context["pieces"]) == form["text"]
    assert "<b>Ask" not in page.content.decode()
    with acting_for(acme.tenant.id), tenant_scope():
        assert not SafetyPolicy.objects.exists()


def test_a_model_has_a_policy_of_its_own_until_it_is_removed(acme):
    save(acme, {"output": {"secrets": {"action": "mask"}}})
    client, page = desk(seat(acme, "owner")), f"{PAGE}?model=local-extractive"
    assert "the one of all models holds" in client.get(page).content.decode()
    client.post(page, FORM)
    assert settings_of(acme, "local-extractive").names()["input"] == ["personal_data"]
    client.post(page, {"act": "remove"})
    assert settings_of(acme, "local-extractive") == SafetySettings()
    assert settings_of(acme).names()["output"] == ["secrets"]


def test_a_model_that_is_not_granted_is_refused(acme):
    page = desk(seat(acme, "owner")).post(f"{PAGE}?model=nobody", FORM).content.decode()
    assert "does not exist or is not granted" in page


@pytest.mark.parametrize(
    ("role", "looks", "saves"), [("admin", 200, 302), ("developer", 200, 403), ("viewer", 403, 403)]
)
def test_who_may_look_and_who_may_save(acme, role, looks, saves):
    client = desk(seat(acme, role))
    assert (client.get(PAGE).status_code, client.post(PAGE, FORM).status_code) == (looks, saves)


def test_nothing_of_another_tenants_policy_is_seen(acme, globex):
    save(acme, {"deny_list": ["acmemark"]})
    assert "acmemark" not in desk(seat(globex, "owner")).get(f"{PAGE}?model=local-extractive").content.decode()
