"""The page of a safety policy: the form, the models that have one of their own, and a text to try it on."""

from dataclasses import dataclass
from typing import Any

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils.http import urlencode

from tenants.audit_trail import trail_of
from tenants.desk.pages import DeskPage, desk_page
from tenants.errors import AtriumError, InvalidRequest

from ..safety import policies
from ..safety.policy import SafetySettings
from ..safety.text import Hit
from ..safety.trial import Trial, try_policy
from .safety_form import SCREENS, STAGES, lists_of, rows_of, settings_of

_MOST_TRIED = 100_000
_DONE = {
    "none": ("good", "Nothing was found. The text goes on as it is."),
    "flag": ("warn", "The text goes on as it is, and what was found is noted under Safety findings."),
    "mask": ("warn", "The text goes on with placeholders in the place of what was found."),
    "block": ("bad", "The text is stopped before what was found."),
}


@dataclass(frozen=True)
class Piece:
    """A part of the tried text; `hit` where a screen found it."""

    text: str
    hit: Hit | None = None

    @property
    def title(self) -> str:
        """The screen, as the table calls it."""
        return SCREENS[self.hit.screen][0] if self.hit else ""


@desk_page
class SafetyPolicyPage(DeskPage):
    """What is screened. Who may look may try it on a text; who may change it may save it."""

    name, path = "safety_policy", "safety/policy/"
    area, writes = "safety", "view"
    icon, label, title = "shield", "Safety policy", "Safety policy"
    template_name = "desk/safety_policy.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The policy of all models, or of the one that `model` names."""
        if self.visitor.staff:
            return super().get_context_data(needs_tenant=True, **kwargs)
        found = policies.overview(alias=self._alias)
        settings = kwargs.pop("draft", None) or found.settings
        return super().get_context_data(
            alias=self._alias,
            found=found,
            rows=rows_of(settings, moderated=bool(found.moderation_models)),
            stages=STAGES.values(),
            may_change=self.visitor.may("safety.change"),
            events=trail_of(found.row)[:1] if found.row else [],
            url=self._url(),
            tried_stages=STAGES,
            **lists_of(settings),
            **{"stage": "input", "text": "", "version": found.version, **kwargs},
        )

    def post(self, request: HttpRequest) -> HttpResponse:
        """Save, remove or try; a refusal keeps what was typed."""
        act = request.POST.get("act", "try")
        if self.visitor.staff or (act != "try" and not self.visitor.may("safety.change")):
            raise PermissionDenied
        base = policies.current_policy(self._alias)[1]
        draft = base
        try:
            with transaction.atomic():
                if act == "remove":
                    return self._remove()
                draft = settings_of(request.POST, base)
                return self._save(draft) if act == "save" else self._try(draft)
        except AtriumError as error:
            messages.error(request, error.message)
            return self.render_to_response(self.get_context_data(draft=draft, **self._typed()))

    def _save(self, draft: SafetySettings) -> HttpResponse:
        now = policies.current_policy(self._alias)[0]
        if self.request.POST.get("version") != str(now.version if now else 0):
            by = trail_of(now)[0].actor_name if now else ""
            raise InvalidRequest(
                f"{by or 'Somebody'} saved another version while you were at it. What you entered is still here: look at "
                "it again, then save it to replace theirs."
            )
        row = policies.set_policy(settings=draft, by=self.visitor.actor, alias=self._alias)
        messages.success(self.request, f"Version {row.version} is saved. It holds for all calls within five seconds.")
        return HttpResponseRedirect(self._url())

    def _remove(self) -> HttpResponse:
        policies.remove_policy(by=self.visitor.actor, alias=self._alias)
        messages.success(self.request, f"The policy of {self._alias or 'all models'} is removed.")
        return HttpResponseRedirect(reverse("admin:safety_policy"))

    def _try(self, draft: SafetySettings) -> HttpResponse:
        text, stage = self.request.POST.get("text", ""), self.request.POST.get("stage", "")
        if len(text) > _MOST_TRIED:
            raise InvalidRequest(f"A text to try has at most {_MOST_TRIED} characters.")
        if stage not in STAGES:
            raise InvalidRequest("Choose where the text would stand.")
        trial = try_policy(settings=draft, stage=stage, text=text)  # type: ignore[arg-type]
        kind, said = _DONE[trial.action]
        shown = {"trial": trial, "kind": kind, "said": said, "pieces": pieces_of(text, trial)}
        return self.render_to_response(self.get_context_data(draft=draft, **self._typed(), **shown))

    def _typed(self) -> dict[str, Any]:
        """What was typed beside the policy itself."""
        return {name: self.request.POST.get(name, "") for name in ("text", "stage")}

    @property
    def _alias(self) -> str:
        return self.request.GET.get("model", policies.GENERAL)[:200].replace("\0", "")

    def _url(self) -> str:
        return reverse("admin:safety_policy") + (f"?{urlencode({'model': self._alias})}" if self._alias else "")


def pieces_of(text: str, trial: Trial) -> list[Piece]:
    """The text with what was found set apart; where finds overlap, the first."""
    pieces: list[Piece] = []
    at = 0
    for hit in sorted(trial.findings, key=lambda hit: (hit.start, -hit.end)):
        if hit.start >= at:
            pieces += [Piece(text[at : hit.start]), Piece(text[hit.start : hit.end], hit)]
            at = hit.end
    return [*pieces, Piece(text[at:])]
