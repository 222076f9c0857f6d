"""What allauth's views have in common here: unfold's layout, our words, and a notice where the counters are away.

A *door* is open to strangers; an *account page* is a person's own and asks for a session that rests on a password. They
touch global tables only, so no tenant's scope is open around them; what they change, they change in one transaction.
"""

from collections.abc import Callable
from typing import Any, Protocol

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.forms import BaseForm, CheckboxInput, Select
from django.http import HttpRequest, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.cache import add_never_cache_headers
from redis.exceptions import RedisError

from .backends import by_password

_Answer = Callable[[], HttpResponseBase]


def notice(
    request: HttpRequest, title: str, message: str, *, status: int, retry_after: int | None = None, **context: Any
) -> TemplateResponse:
    """A page that says one thing, and where to go from there."""
    shown = {**admin.site.each_context(request), "title": title, "message": message, **context}
    headers = {"Retry-After": str(retry_after)} if retry_after else None
    return TemplateResponse(request, "admin/notice.html", shown, status=status, headers=headers)


def too_many(request: HttpRequest, what: str) -> TemplateResponse:
    """Five minutes, then again."""
    text = f"Too many {what}. Wait five minutes, then try again."
    return notice(request, "Too many attempts", text, status=429, retry_after=300)


class _View(Protocol):
    request: HttpRequest


class Door:
    """Mixin before allauth's view: `title` is the page's heading, `labels` rename its form's fields."""

    request: HttpRequest
    title = ""
    labels: dict[str, str] = {}
    helps: dict[str, str] = {}

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """allauth's, which counts attempts."""
        return self._answer(request, lambda: super(Door, self).dispatch(request, *args, **kwargs))  # type: ignore[misc]

    def _answer(self, request: HttpRequest, view: _Answer) -> HttpResponseBase:
        try:
            answer = view()
        except RedisError:
            text = "Log-in is away for the moment. Try again shortly."
            answer = notice(request, "Temporarily unavailable", text, status=503, retry_after=5)
        add_never_cache_headers(answer)
        return answer

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With what every page of the admin shows, and the form in the desk's look."""
        context = super().get_context_data(**kwargs)  # type: ignore[misc]
        if isinstance(context.get("form"), BaseForm):
            self._dress(context["form"])
        return {**admin.site.each_context(self.request), **context, "title": self.title}

    def _dress(self, form: BaseForm) -> None:
        for name, field in form.fields.items():
            field.label = self.labels.get(name, field.label)
            field.help_text = self.helps.get(name, "")
            field.widget.attrs.pop("placeholder", None)
            if not isinstance(field.widget, CheckboxInput | Select):
                field.widget.attrs["class"] = "desk-input"


class AccountPage(Door):
    """Mixin for what is the person's own: strangers log in first, and no tenant's identity provider opens it."""

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponseBase:
        """allauth's; a POST is one transaction."""
        if not request.user.is_authenticated:
            return redirect_to_login(request.get_full_path(), reverse("account_login"))
        if not by_password(request):
            return not_for_providers(request)
        with transaction.atomic():
            return super().dispatch(request, *args, **kwargs)


def not_for_providers(request: HttpRequest) -> TemplateResponse:
    """A session of single sign-on asked for the person's account."""
    text = (
        "You came in by your organisation's single sign-on, which looks after your password and second factor. "
        "To manage the account here, log out and log in with its password."
    )
    return notice(request, "Managed by your organisation", text, status=403, offer_logout=True)


def to_overview() -> HttpResponseRedirect:
    """Back to the account's first page."""
    return HttpResponseRedirect(reverse("mfa_index"))
