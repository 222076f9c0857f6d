"""What a browser may do with our answers: nothing with data, the least that works with the two kinds of pages."""

from django.conf import LazySettings
from django.test import Client

from tests.conftest import Member


def directives(answer) -> dict[str, str]:
    parts = (part.partition(" ") for part in answer["content-security-policy"].split("; "))
    return {name: value for name, _, value in parts}


def test_answers_of_the_api_load_nothing_and_are_not_cached(acme: Member) -> None:
    answer = acme.client.get("/v1/models")
    assert directives(answer)["default-src"] == "'none'"
    assert "script-src" not in directives(answer)
    assert answer["cache-control"] == "no-store"
    assert (answer["x-content-type-options"], answer["x-frame-options"]) == ("nosniff", "DENY")
    assert answer["referrer-policy"] == "same-origin"


def test_the_admin_runs_its_own_scripts_and_no_inline_one(db: None, client: Client, settings: LazySettings) -> None:
    settings.STORAGES = settings.STORAGES | {
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"}
    }
    answer = client.get("/admin/login/")
    assert answer.status_code == 200
    assert directives(answer)["script-src"] == "'self' 'unsafe-eval'"
    assert directives(answer)["frame-ancestors"] == "'none'"
    text = answer.content.decode()
    assert text.count("<script") == text.count("<script src=")
