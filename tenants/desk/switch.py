"""A page that takes something out of service or puts it back: what that will do, a reason, one button."""

from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect

from ..errors import InvalidRequest
from .pages import DeskPage


@dataclass(frozen=True)
class Switched:
    """What is switched: its name, whether it is out, the page to go back to, and what each way does, as sentences."""

    name: str
    out: bool
    back: str
    does_out: list[str] = field(default_factory=list)
    does_back: list[str] = field(default_factory=list)
    since: datetime | None = None
    reason: str = ""


class SwitchPage(DeskPage, ABC):
    """The page; a subclass says what is switched and makes the one call that does it."""

    template_name = "desk/switch.html"

    @abstractmethod
    def switched(self) -> Switched:
        """What is switched, as it is now."""

    @abstractmethod
    def flip(self, *, out: bool, reason: str, now: datetime) -> str:
        """Do it by the domain's function; returns what to tell."""

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """With what is switched."""
        found = self.switched()
        verb = "Put back" if found.out else "Take out"
        title = f"{verb} {'into' if found.out else 'of'} service: {found.name}"
        does = found.does_back if found.out else found.does_out
        return {**super().get_context_data(**kwargs), "title": title, "switched": found, "does": does}

    def post(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """Flip it the way that the button said, whatever happened meanwhile; a reason is asked for."""
        to, reason = request.POST.get("to"), request.POST.get("reason", "").strip()
        if to not in ("out", "in"):
            raise InvalidRequest("Say whether to take it out or to put it back.", param="to")
        if to == "out" and not reason:
            raise InvalidRequest("Say why: the reason is kept in the log.", param="reason")
        told = self.flip(out=to == "out", reason=reason[:300], now=datetime.now(UTC))
        messages.success(request, told)
        return HttpResponseRedirect(self.switched().back)
