"""What a browser may do with our answers: nothing with data, the least that works with the two kinds of pages."""

import re
from collections.abc import Iterator
from pathlib import Path

from django.conf import LazySettings, settings
from django.contrib.staticfiles import finders
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
    assert directives(answer)["script-src"] == "'self'"
    assert directives(answer)["frame-ancestors"] == "'none'"
    text = answer.content.decode()
    assert text.count("<script") == text.count("<script src=")
    assert re.findall(r'<(?:script|link)[^>]* (?:src|href)="(?!/static/)', text) == []
    assert (answer["x-content-type-options"], answer["x-frame-options"]) == ("nosniff", "DENY")
    assert (answer["referrer-policy"], answer["cross-origin-opener-policy"]) == ("same-origin", "same-origin")
    assert "no-store" in answer["cache-control"]


def test_no_script_of_ours_makes_scripts_of_text_and_no_stylesheet_loads_from_elsewhere() -> None:
    alpine = Path(str(finders.find("unfold/js/alpine/alpine.js")))
    assert alpine.is_relative_to(settings.BASE_DIR / "config" / "vendor")
    served = [path for path in _served() if path.suffix in (".js", ".css")]
    assert len(served) >= 15
    for path in served:
        text = path.read_text(errors="replace")
        # htmx makes functions of conditions in `hx-trigger` alone; no page has one.
        assert "new Function" not in text or path.name == "htmx.js", path
        assert not re.search(r"@import\s+(url\()?[\"']?https?:|url\([\"']?(https?:)?//", text), path


def _served() -> Iterator[Path]:
    """The files of the desk, each as it is served: of two with one name the first that is found."""
    for name in ("unfold", "desk", "tenants", "billing", "knowledge", "inference"):
        for finder in finders.get_finders():
            for path, _ in finder.list([]):
                if path.startswith(f"{name}/"):
                    yield Path(str(finders.find(path)))
