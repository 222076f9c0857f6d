"""The page behind an invitation's link: for somebody who may have no log-in yet, and has no seat in the tenant.

Its address holds the link's secret, so it is never logged. The tenant is the one that the link names; nothing else of
that tenant is read.
"""

from datetime import UTC, datetime
from typing import Any

from allauth.usersessions.models import UserSession
from django.contrib import admin
from django.contrib.auth import login
from django.contrib.auth.forms import SetPasswordForm
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.http import urlencode
from django.views.generic import View
from django_ratelimit.core import is_ratelimited

from .. import invitations
from ..accounts.backends import PASSWORD, by_password
from ..carried import PATH_TO_LOG
from ..errors import AtriumError
from ..models import Invitation, User
from ..scope import acting_for, leave_tenant
from .visitor import CHOSEN, INVITATION

_TEMPLATE = "desk/invitation.html"


class TooManyTries(AtriumError):
    """Somebody tries links, or one link very often."""

    status = 429
    type = "rate_limit_error"
    code = "rate_limit_exceeded"


class AcceptInvitation(View):
    """Accept by logging in, or by choosing a password."""

    http_method_names = ["get", "post"]

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """In the scope that the link names; what cannot be used says why, and what to do."""
        PATH_TO_LOG.put(request, f"{INVITATION}…/")
        try:
            if is_ratelimited(request, group="admin.invitation", key="ip", rate="60/5m", increment=True):
                raise TooManyTries("Too many tries from this address. Wait five minutes, then open the link again.")
            with leave_tenant(), acting_for(invitations.tenant_of(kwargs["token"])):
                answer: Any = super().dispatch(request, *args, **kwargs)
        except AtriumError as error:
            context = {"title": "This invitation cannot be used", "message": error.message}
            answer = render(request, "admin/notice.html", self._context(**context), status=error.status)
        # Not "no-referrer": browsers then send the form from the origin "null", which is refused as forged.
        answer["Referrer-Policy"], answer["Cache-Control"] = "same-origin", "no-store"
        return answer

    def get(self, request: HttpRequest, token: str) -> HttpResponse:
        """What it is an invitation to, and what to do."""
        return self._page(invitations.find(token=token, now=datetime.now(UTC)))

    def post(self, request: HttpRequest, token: str) -> HttpResponse:
        """Accept it, as who is logged in or as somebody new."""
        now = datetime.now(UTC)
        invitation, user = invitations.find(token=token, now=now), self._user()
        if user is not None:
            invitations.accept(token=token, user=user, now=now)
            return self._enter(invitation)
        form = SetPasswordForm(User(email=invitation.email, username=invitation.email), request.POST)
        if invitations.person_of(invitation) is not None or not form.is_valid():
            return self._page(invitation, form)
        password = form.cleaned_data["new_password1"]
        user, _ = invitations.accept_as_new(token=token, password=password, now=now)
        login(request, user, backend=PASSWORD)
        UserSession.objects.create_from_request(request)  # else it is missing among the person's sessions
        return self._enter(invitation)

    def _enter(self, invitation: Invitation) -> HttpResponse:
        self.request.session[CHOSEN] = str(invitation.tenant_id)
        return redirect("admin:index")

    def _user(self) -> User | None:
        """Who is logged in, by a log-in of Atrium's own: what an identity provider says of somebody is good for its own
        tenant alone."""
        user = self.request.user
        return user if isinstance(user, User) and user.is_active and by_password(self.request) else None

    def _page(self, invitation: Invitation, form: SetPasswordForm | None = None) -> HttpResponse:
        user, person = self._user(), invitations.person_of(invitation)
        log_in = f"{reverse('admin:login')}?{urlencode({'next': self.request.path})}"
        context = {
            "title": f"Join {invitation.tenant.name}",
            "invitation": invitation,
            "role": invitation.get_role_display().lower(),
            "is_other": user is not None and user.email.lower() != invitation.email,
            "is_theirs": user is not None and user.email.lower() == invitation.email,
            "log_in": log_in if person is not None else "",
            "form": form or SetPasswordForm(User(email=invitation.email)),
        }
        return render(self.request, _TEMPLATE, self._context(**context), status=200)

    def _context(self, **own: Any) -> dict[str, Any]:
        return {**admin.site.each_context(self.request), **own}
