"""A variant's page: where it stands on its way to calls, what comes next, who may say so."""

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse

from tenants.audit_trail import trail_of
from tenants.desk.pages import DeskPage, desk_page
from tenants.errors import NotFound

from ..catalogue import forget_terms
from ..models import Variant
from ..variants import FOLLOWS, look_at, move_variant

_State = Variant.State
#: state → what it means.
MEANINGS = {
    _State.TRAINING: "It is being made.",
    _State.EVALUATING: "It is compared with what answers today.",
    _State.CANDIDATE: "It passed, and waits to be tried on real calls.",
    _State.CANARY: "It answers the share of users that an alias gives it.",
    _State.LIVE: "Aliases may point at it for all calls.",
    _State.RETIRED: "It answers no more. This is final.",
}
#: (from, to) → what the button says; other steps are named by their state.
_STEPS = {
    (_State.TRAINING, _State.EVALUATING): "Training is done: evaluate it",
    (_State.EVALUATING, _State.CANDIDATE): "It passed: make it a candidate",
    (_State.EVALUATING, _State.TRAINING): "It failed: back to training",
    (_State.CANDIDATE, _State.CANARY): "Try it on a share of calls",
    (_State.CANDIDATE, _State.EVALUATING): "Evaluate it again",
    (_State.CANARY, _State.LIVE): "Let it go live",
    (_State.CANARY, _State.CANDIDATE): "Take it back",
    (_State.LIVE, _State.CANARY): "Back to a share of calls",
}


@desk_page
class VariantPage(DeskPage):
    """One variant."""

    name, path = "variant", "variants/<uuid:variant_id>/"
    area = "variants"
    template_name = "desk/variant.html"

    def get_context_data(self, **kwargs: Any) -> dict[str, Any]:
        """The variant, its way, and what may follow."""
        if self.visitor.staff:
            raise Http404
        try:
            row, aliases = look_at(variant_id=kwargs["variant_id"])
        except NotFound as error:
            raise Http404 from error
        here = _State(row.state)
        return super().get_context_data(
            title=row.name,
            row=row,
            aliases=aliases,
            way=[(str(state.label), MEANINGS[state], state == here) for state in _State],
            meaning=MEANINGS[here],
            steps=[
                (str(state), _STEPS.get((here, state), "Retire it"), state == _State.RETIRED) for state in FOLLOWS[here]
            ],
            may_move=self.visitor.may("variants.change"),
            events=trail_of(row)[:20],
            **kwargs,
        )

    def post(self, request: HttpRequest, variant_id: UUID) -> HttpResponse:
        """`move_variant`."""
        if self.visitor.staff:
            raise PermissionDenied
        try:
            row = move_variant(variant_id=variant_id, state=request.POST.get("state", ""), by=self.visitor.actor)
        except NotFound as error:
            raise Http404 from error
        forget_terms()
        messages.success(
            request, f"{row.name} is {row.get_state_display().lower()} now. Calls follow within five seconds."
        )
        return HttpResponseRedirect(reverse("admin:variant", args=[variant_id]))
