"""A person's sessions: where they are logged in, since when, seen when; and how one is ended from another.

A session is Django's row; allauth's `UserSession` beside it says what it looked like. The moment it was last seen is
written once a minute at most. Who is removed from a tenant or taken out of service needs no help from here: every
request asks anew.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from allauth.mfa.models import Authenticator
from allauth.usersessions.models import UserSession
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.generic import TemplateView, View

from ..models import User
from .pages import AccountPage, to_overview

_SEEN_EVERY = timedelta(minutes=1)
_BROWSERS = {"Edg": "Edge", "OPR": "Opera", "Firefox": "Firefox", "Chrome": "Chrome", "Safari": "Safari"}
_SYSTEMS = {
    "iPhone": "iPhone", "iPad": "iPad", "Android": "Android", "Windows": "Windows", "Mac OS X": "macOS", "CrOS": "ChromeOS",
    "Linux": "Linux",
}  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """A session as its person sees it."""

    id: int
    device: str
    address: str
    since: datetime
    seen: datetime
    current: bool


def sessions_of(user: User, *, current_key: str | None) -> list[Shown]:
    """Where the person is logged in, this session first, then the ones seen last; ended ones are cleared away."""
    rows = UserSession.objects.purge_and_list(user)
    shown = [
        Shown(row.pk, device(row.user_agent), row.ip, row.created_at, row.last_seen_at, row.session_key == current_key)
        for row in rows
    ]
    return sorted(shown, key=lambda row: (not row.current, -row.seen.timestamp()))


def device(user_agent: str) -> str:
    """Browser and system in plain words: `Firefox on Windows`."""
    browser = next((name for mark, name in _BROWSERS.items() if mark in user_agent), "Another browser")
    system = next((name for mark, name in _SYSTEMS.items() if mark in user_agent), "")
    return f"{browser} on {system}" if system else browser


def end(user: User, *, session_id: int | None, current_key: str | None) -> int:
    """End one of the person's other sessions, or without an id all of them; returns how many."""
    rows = UserSession.objects.filter(user=user).exclude(session_key=current_key)
    ended = list(rows if session_id is None else rows.filter(pk=session_id))
    for row in ended:
        row.end()
    return len(ended)


def note_seen(request: HttpRequest, *, now: datetime) -> None:
    """The session was used: once a minute at most is that written down."""
    key = request.session.session_key
    UserSession.objects.filter(session_key=key, last_seen_at__lt=now - _SEEN_EVERY).update(last_seen_at=now)


class AccountView(AccountPage, TemplateView):
    """The account's first page: password, second factor, sessions."""

    title, template_name = "Your account", "accounts/overview.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """What the person can look after here."""
        user, key = self.request.user, self.request.session.session_key
        assert isinstance(user, User)
        if not UserSession.objects.filter(session_key=key).exists():
            UserSession.objects.create_from_request(self.request)
        factors = {row.type: row.wrap() for row in Authenticator.objects.filter(user=user)}
        codes = factors.get(Authenticator.Type.RECOVERY_CODES)
        return {
            **super().get_context_data(**kwargs),
            "person": user,
            "two_factor": factors.get(Authenticator.Type.TOTP),
            "codes_left": len(codes.get_unused_codes()) if codes else 0,
            "sessions": sessions_of(user, current_key=key),
        }


class EndSessionsView(AccountPage, View):
    """Ends one session (`session`), or all others."""

    def post(self, request: HttpRequest) -> HttpResponse:
        """`end`."""
        assert isinstance(request.user, User)
        chosen = request.POST.get("session", "")
        session_id = int(chosen) if chosen.isdecimal() and len(chosen) < 19 else None
        if chosen and session_id is None:
            return to_overview()
        count = end(request.user, session_id=session_id, current_key=request.session.session_key)
        messages.success(
            request, f"{count} session{'' if count == 1 else 's'} ended." if count else "It had ended already."
        )
        return to_overview()


def seen_now(request: HttpRequest) -> None:
    """`note_seen`, by the clock."""
    note_seen(request, now=timezone.now())
