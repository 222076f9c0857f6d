"""The heading of a page: the list that it belongs to, by the menu's name for it, and the page itself."""

from dataclasses import dataclass
from typing import Any

from django import template
from django.contrib import admin

register = template.Library()


@dataclass(frozen=True)
class Crumb:
    """A part of the heading; without a link it is where one is."""

    title: str
    link: str = ""


@register.simple_tag(takes_context=True)
def heading(context: dict[str, Any]) -> list[Crumb]:
    """Its parts."""
    opts, visitor = context.get("opts"), context.get("visitor")
    page: Any = admin.site._registry.get(opts.model) if opts else None  # a `tenants.desk.base.AtriumAdmin`
    if page is None or visitor is None:
        return [Crumb(str(context.get("content_title") or context.get("title") or "Atrium"))]
    name = page.name_for(visitor)
    if context.get("cl") is not None:
        return [Crumb(name)]
    row = context.get("original") or context.get("object")
    shown = str(row) if row is not None else str(context.get("content_title") or context.get("title") or "")
    return [Crumb(name, page.link_for(visitor)), Crumb(shown)]
