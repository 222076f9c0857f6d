"""Pages whose changes stand in the audit log: Django's own log, whose rows know no tenant, stays out of them."""

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse

from ..audit_trail import trail_of
from .guarded import Guarded


class OnTheTrail(Guarded):
    """A page over rows whose domain functions write the audit rows; the history shows those."""

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Nothing: the change wrote its audit row."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Nothing: the change wrote its audit row."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Nothing: the change wrote its audit row."""

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        """The audit rows of one object."""
        self._refuse_strangers(request)
        row = self.get_object(request, object_id)
        if row is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        context = {
            **self.admin_site.each_context(request),
            "title": f"History of {row}",
            "opts": self.opts,
            "events": trail_of(row),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "admin/audit_history.html", context)
