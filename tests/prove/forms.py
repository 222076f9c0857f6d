"""A page's own forms, read and filled as a browser and its user would."""

from datetime import UTC, datetime
from typing import Any
from urllib.parse import urljoin, urlsplit
from uuid import uuid4

from lxml import html
from lxml.html import FormElement, HtmlElement, InputElement, SelectElement, TextareaElement


def forms(page: str) -> list[FormElement]:
    """All of a page's."""
    return list(html.fromstring(page).forms)


def sent(form: FormElement) -> dict[str, list[str]]:
    """What a browser sends where nobody touched the form: values by field."""
    fields: dict[str, list[str]] = {}
    for name, value in form.form_values():
        fields.setdefault(name, []).append(value)
    return fields


def writes(page: str, path: str) -> list[tuple[FormElement, HtmlElement | None]]:
    """The forms that write to the page's own address, once for each button with a value; what takes away comes last."""
    found = []
    for form in forms(page):
        own = urlsplit(urljoin(path, form.action or "")).path == urlsplit(path).path
        if form.method == "POST" and own and "csrfmiddlewaretoken" in form.fields:
            buttons = [button for button in form.xpath(".//button[@name and @value]") if button.get("type") != "button"]
            found += [(form, button) for button in buttons or [None]]
    return sorted(found, key=lambda one: one[1] is not None and "danger" in one[1].get("class", ""))


def filled(form: FormElement, button: HtmlElement | None) -> dict[str, Any]:
    """With something in each field that must have it, a text changed, a choice made where none is, and the button pressed."""
    mark, fields, changed = f"m{uuid4().hex[:8]}", sent(form), False
    for field in form.inputs:
        name = field.get("name") or ""
        if name.startswith(("csrf", "_", "initial-")) or "-TOTAL" in name or "-INITIAL" in name or _is_hidden(field):
            continue
        must = "required" in field.attrib and not any(fields.get(name, []))
        if must or (not changed and _is_prose(field)):
            fields[name] = [_said(field, mark)]
            changed = changed or not must
        elif isinstance(field, InputElement) and field.checkable and name not in fields and len(form.inputs[name]) > 1:
            fields[name] = [field.get("value", "on")]
    if button is not None:
        fields[button.get("name")] = [button.get("value")]
    return fields


def _is_hidden(field: HtmlElement) -> bool:
    return isinstance(field, InputElement) and field.type in ("hidden", "file", "submit")


def _is_prose(field: HtmlElement) -> bool:
    """Text that may be anything: not a URL, a date or a number, nor words in capitals, which are codes."""
    if not isinstance(field, TextareaElement) and not (isinstance(field, InputElement) and field.type == "text"):
        return False
    name, value = field.get("name") or "", field.value or ""
    return not _is_date(field) and "url" not in name and (not value or value.upper() != value)


def _is_date(field: HtmlElement) -> bool:
    return "vDateField" in field.get("class", "") or field.get("type") == "date"


def _said(field: HtmlElement, mark: str) -> str:
    """Something of the kind that the field takes."""
    if isinstance(field, SelectElement):
        return next(value for value in field.value_options if value)
    if _is_date(field):
        return f"{datetime.now(UTC):%Y-%m-%d}"
    name, kind = field.get("name") or "", field.get("type", "text")
    if kind == "url" or "url" in name:
        return f"https://{mark}.invalid"
    if name in ("tag", "tags"):
        return f"team={mark}"
    if kind == "number" or "amount" in name:
        return "7"
    return f"{mark}@example.org" if kind == "email" else f"{field.value or ''}{mark}"
