"""The whole story of one call, for the page that answers "why did it say that, and why did it cost that"."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any
from uuid import UUID

from billing.models import BudgetAccount, Reservation, UsageRecord
from tenants.ids import public_id

from ..models import Feedback, Generation, InferenceAttempt, PromptVersion, Screening
from ..taxonomy import KINDS, ErrorKind
from .conversation import Turn, answered_of, asked_of
from .figures import Figures, figures_of, key_names
from .passages import Found, found_of
from .timeline import Span, spans_of, total_ms

_PREFIXES = {"chat": "chatcmpl-", "response": "resp_"}
_MOST_FEEDBACK = 20


class Contents(StrEnum):
    """Why what was asked and answered is shown, or not."""

    SHOWN = "shown"
    HIDDEN = "hidden"  # from this visitor
    NOT_KEPT = "not kept"  # the tenant keeps none
    GONE = "gone"  # deleted, or past retention


@dataclass
class Story:
    """One call. What it holds of contents is empty unless `contents` says that they are shown."""

    row: Generation
    answer_id: str
    key_name: str
    figures: Figures
    total_ms: float | None
    contents: Contents
    attempts: list[InferenceAttempt]
    spans: list[Span]
    lines: list[UsageRecord]
    screenings: list[Screening]
    reservation: Reservation | None
    budgets: list[BudgetAccount]
    prompt: PromptVersion | None
    error: dict[str, Any]
    error_kind: ErrorKind | None
    feedback: list[Feedback] = field(default_factory=list)
    asked: list[Turn] = field(default_factory=list)
    answered: list[Turn] = field(default_factory=list)
    passages: list[Found] | None = None

    @property
    def first_token_ms(self) -> float | None:
        """From arrival to the first token of the answer, where it was streamed."""
        for attempt in self.attempts:
            if attempt.ttft_ms is not None:
                waited = (attempt.started_at - self.row.created_at).total_seconds() * 1000
                return max(0.0, waited) + attempt.ttft_ms
        return None

    @property
    def cached(self) -> bool:
        """Whether the answer was one that had been given before."""
        return self.figures.cached or bool((self.row.trace or {}).get("cached"))


def story_of(row: Generation, *, sees_contents: bool, sees_feedback: bool) -> Story:
    """Everything that is kept of a call; a dozen queries, each by an index. Inside a scope."""
    reservation = Reservation.objects.filter(id=row.id).first()
    attempts = list(InferenceAttempt.objects.filter(generation_id=row.id).order_by("number"))
    error = (row.error or {}).get("error") or {}
    story = Story(
        row=row,
        answer_id=public_id(_PREFIXES[row.kind], row.id) if row.kind in _PREFIXES else "",
        key_name=key_names([row.key_id]).get(row.key_id, ""),
        figures=figures_of([row.id]).get(row.id, Figures()),
        total_ms=total_ms(row),
        contents=_contents(row, sees_contents),
        attempts=attempts,
        spans=spans_of(row, attempts),
        lines=_lines(row.id),
        screenings=list(Screening.objects.filter(generation_id=row.id).order_by("id")),
        reservation=reservation,
        budgets=_budgets(reservation),
        prompt=_prompt(row.prompt_version_id),
        error=error,
        error_kind=KINDS.get(str(error.get("code"))),
    )
    if sees_feedback:
        story.feedback = list(Feedback.objects.filter(generation_id=row.id).order_by("id")[:_MOST_FEEDBACK])
    if story.contents is Contents.SHOWN:
        story.asked, story.answered = asked_of(row), answered_of(row)
        story.passages = None if row.found is None else found_of(row)
    return story


def _contents(row: Generation, sees: bool) -> Contents:
    if not sees:
        return Contents.HIDDEN
    if row.request is not None:
        return Contents.SHOWN
    return Contents.NOT_KEPT if (row.terms or {}).get("retention_days") == 0 else Contents.GONE


def _lines(request_id: UUID) -> list[UsageRecord]:
    """The ledger's lines, and what corrects them."""
    lines = list(UsageRecord.objects.filter(request_id=request_id, corrects__isnull=True).order_by("attempt", "meter"))
    corrections = UsageRecord.objects.filter(corrects__in=[line.id for line in lines]) if lines else []
    return [*lines, *corrections]


def _budgets(reservation: Reservation | None) -> list[BudgetAccount]:
    if reservation is None or not reservation.accounts:
        return []
    accounts = BudgetAccount.objects.filter(id__in=reservation.accounts)
    return list(accounts.select_related("budget").order_by("budget__name"))


def _prompt(version_id: UUID | None) -> PromptVersion | None:
    """None where it named none, or one that is deleted."""
    if version_id is None:
        return None
    return PromptVersion.objects.select_related("prompt").filter(id=version_id).first()
