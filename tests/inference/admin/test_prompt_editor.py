"""The editor of prompts: versions, variables, labels, differences; two people at once; another tenant's."""

from datetime import UTC, datetime

import pytest

from inference.admin.prompt_form import definition_of, draft_of
from inference.models import Prompt, PromptLabel, PromptVersion
from inference.prompts.definition import Definition
from inference.prompts.library import create_prompt
from inference.prompts.reading import compare
from tenants.audit import COMMAND_LINE
from tenants.ids import uuid7
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]
NOW = datetime(2026, 6, 1, tzinfo=UTC)
SAVED = {
    "messages": [{"role": "system", "content": "Answer {{name}} in {{language}}."}],
    "variables": {
        "name": {"type": "string", "max_length": 20},
        "language": {"type": "enum", "values": ["en", "de"], "default": "en", "description": "Of the answer."},
    },
    "defaults": {"temperature": 0.5, "tools": [{"type": "function", "function": {"name": "f"}}]},
}
VARIABLE = {"type": "string", "default": "", "description": "", "required": "yes", "values": "", "rest": "{}"}


def prompt_of(member: Member, definition: dict | None = SAVED, labels: tuple[str, ...] = ()) -> Prompt:
    with acting_for(member.tenant.id):
        made = Definition.model_validate(definition) if definition else None
        return create_prompt(name="greeting", by=COMMAND_LINE, now=NOW, definition=made, labels=labels)


def form(content: str, newest: int = 1, **more: str) -> dict[str, object]:
    row = {f"variable_{name}": [value] for name, value in {**VARIABLE, "name": "name"}.items()}
    return {"act": "save", "newest": newest, "role": ["user"], "content": [content], **row, **more}


def versions(member: Member) -> list[int]:
    with acting_for(member.tenant.id), tenant_scope():
        return list(PromptVersion.objects.order_by("number").values_list("number", flat=True))


def page_of(prompt: Prompt) -> str:
    return f"/admin/prompts/{prompt.id}/"


def test_what_is_stored_goes_through_the_form_unchanged():
    stored = Definition.model_validate(SAVED)
    assert definition_of(draft_of(stored.stored())) == stored


def test_a_new_prompt_leads_to_its_editor_and_its_first_version(acme):
    client = desk(seat(acme, "developer"))
    added = client.post("/admin/inference/prompt/add/", {"name": "hello", "description": ""})
    with acting_for(acme.tenant.id), tenant_scope():
        prompt = Prompt.objects.get(name="hello")
    assert added["Location"] == page_of(prompt)
    client.post(page_of(prompt), form("Hello {{name}}", 0, label="production", note="first"))
    with acting_for(acme.tenant.id), tenant_scope():
        label = PromptLabel.objects.select_related("version").get()
    assert (label.name, label.version.number, label.version.note) == ("production", 1, "first")
    assert label.version.definition["messages"] == [{"role": "user", "content": "Hello {{name}}"}]


@pytest.mark.parametrize("content", ["", "Hello {{ nobody", "Hello {{unknown}}"])
def test_a_version_that_cannot_be_is_refused_and_stays_in_the_form(acme, content):
    prompt = prompt_of(acme)
    page = desk(seat(acme, "developer")).post(page_of(prompt), form(content))
    assert page.status_code == 200 and [str(m) for m in page.context["messages"]]
    assert page.context["draft"].messages == [{"role": "user", "content": content}]
    assert versions(acme) == [1]


def test_the_second_of_two_writers_is_told_and_loses_nothing(acme):
    prompt = prompt_of(acme)
    desk(seat(acme, "owner")).post(page_of(prompt), form("First {{name}}"))
    page = desk(seat(acme, "developer")).post(page_of(prompt), form("Second {{name}}"), follow=True)
    assert "Somebody else saved version 2 while you were writing. Yours is version 3" in page.content.decode()
    assert versions(acme) == [1, 2, 3]


def test_labels_are_moved_and_taken_away(acme):
    prompt, client = prompt_of(acme, labels=("production",)), desk(seat(acme, "developer"))
    client.post(page_of(prompt), form("Second {{name}}"))
    client.post(page_of(prompt), {"act": "move", "label": "production", "number": "2"})
    with acting_for(acme.tenant.id), tenant_scope():
        assert PromptLabel.objects.get().version.number == 2
    refused = client.post(page_of(prompt), {"act": "delete"}).content.decode()
    assert "in use by the labels production" in refused
    client.post(page_of(prompt), {"act": "remove_label", "label": "production"})
    assert client.post(page_of(prompt), {"act": "delete"})["Location"] == "/admin/inference/prompt/"
    assert client.get(page_of(prompt)).status_code == 404


def test_two_versions_are_compared():
    after = {**SAVED, "messages": [{"role": "system", "content": "Answer {{name}} in {{language}}.\nBe brief."}]}
    changed = [(line.kind, line.text) for line in compare(SAVED, after) if line.kind != "same"]
    assert changed == [("added", "Be brief.")]


def test_the_page_shows_a_version_and_its_difference(acme):
    prompt, client = prompt_of(acme), desk(seat(acme, "viewer"))
    desk(seat(acme, "owner")).post(page_of(prompt), form("<i>{{name}}</i>"))
    text = client.get(page_of(prompt), {"version": "2", "compare": "1"}).content.decode()
    assert "From version 1 to version 2" in text and "&lt;i&gt;" in text and "<i>" not in text
    assert "Save as version" not in text and client.post(page_of(prompt), form("x")).status_code == 403


def test_a_stranger_finds_it_missing(acme, globex):
    prompt, client = prompt_of(acme), desk(seat(globex, "owner"))
    for url in (page_of(prompt), page_of(Prompt(id=uuid7()))):
        assert client.get(url).status_code == 404
        for act in ("save", "move", "rename", "delete", "remove_label"):
            assert (
                client.post(url, {**form("x"), "act": act, "label": "x", "number": "1", "name": "x"}).status_code == 404
            )
    assert versions(acme) == [1]
