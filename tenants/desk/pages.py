"""Pages of the desk that are no list of a model: a view with a place in the menu and a permission.

A page says which permission it asks for and gets the same treatment as the admin's own: strangers are refused before
anything is looked for, a domain function's refusal is a message (or JSON, where a script asked), a POST is all or
nothing. `config.admin_site` serves what is registered here, `config.navigation` says where it stands in the menu.
"""

from contextlib import nullcontext
from inspect import isabstract
from typing import Any, TypeVar

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect, JsonResponse
from django.http.response import HttpResponseBase
from django.views.generic import TemplateView, View

from ..errors import AtriumError
from .visitor import Visitor, visitor_of

_View = TypeVar("_View", bound="DeskView")
#: Every registered page, by name.
PAGES: dict[str, type["DeskView"]] = {}


class DeskView(View):
    """What a page and a script's door have in common."""

    #: The URL's name under `admin:`, and the page's in `config.navigation`.
    name = ""
    #: The URL under the admin, with Django's converters: `playground/`, `stores/<uuid:store_id>/search/`.
    path = ""
    #: The object of `tenants.permissions` that guards it; empty: platform staff only.
    area = ""
    #: Whether it waits for bytes, a model or another server: then nothing holds a transaction for it, and what it calls
    #: opens scopes of its own.
    waits = False
    #: What GET and POST ask for.
    reads, writes = "view", "change"
    icon, label = "", ""

    @classmethod
    def may(cls, visitor: Visitor | None, method: str = "GET") -> bool:
        """Whether the visitor may do this here."""
        verb = cls.reads if method in ("GET", "HEAD") else cls.writes
        return visitor is not None and visitor.may(f"{cls.area}.{verb}")

    @property
    def visitor(self) -> Visitor:
        """Who asks."""
        visitor = visitor_of(self.request)
        if visitor is None:
            raise PermissionDenied
        return visitor

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """Refuses strangers; what a POST changes is undone where it is refused."""
        if not self.may(visitor_of(request), request.method or ""):
            raise PermissionDenied
        if request.method in ("GET", "HEAD"):
            return super().dispatch(request, *args, **kwargs)
        try:
            with nullcontext() if self.waits else transaction.atomic():
                return super().dispatch(request, *args, **kwargs)
        except AtriumError as error:
            return self.refused(request, error)

    def refused(self, request: HttpRequest, error: AtriumError) -> HttpResponse:
        """How the visitor learns of a domain function's refusal: a message on the page it came from."""
        messages.error(request, error.message)
        return HttpResponseRedirect(request.get_full_path())


class DeskPage(DeskView, TemplateView):
    """A page: `template_name` extends `admin/base_site.html`, `title` is its heading."""

    title = ""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With what every page of the admin shows."""
        return {**admin.site.each_context(self.request), "title": self.title, **super().get_context_data(**kwargs)}


class DeskData(DeskView):
    """A door for a page's script: answers JSON, refusals in the API's shape. Never in the menu."""

    def refused(self, request: HttpRequest, error: AtriumError) -> HttpResponse:
        """The error's status, code and message."""
        shaped = {"message": error.message, "type": error.type, "code": error.code, "param": error.param}
        return JsonResponse({"error": shaped}, status=error.status)


def desk_page(page: type[_View]) -> type[_View]:
    """Class decorator: serve this.

    Raises:
        ValueError: another page has the name.
        TypeError: something that a page of its kind has to say is missing.
    """
    if isabstract(page):
        raise TypeError(f"{page.__name__} is abstract")
    if PAGES.setdefault(page.name, page) is not page:
        raise ValueError(f"two pages are called {page.name}")
    return page
