"""What the screens found in one call, and its rows. Never the content: category, place, span and a keyed digest.

The digest is an HMAC by the platform's key over tenant, category and find: equal finds of a tenant have equal digests,
and nobody without the key can try values against them.
"""

import hmac
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any
from uuid import UUID

from django.conf import settings

from tenants.scope import tenant_scope

from ..models import Screening
from .policy import Stage
from .text import Action, Hit, Note

PREFIX = "screening_"
_MOST_DETAILS = 10
_MOST_CATEGORIES = 20
_DIGEST_LENGTH = 16


@dataclass
class _Found:
    count: int = 0
    categories: dict[str, None] = field(default_factory=dict)
    details: list[dict[str, Any]] = field(default_factory=list)


class Verdicts:
    """The finds of one call."""

    def __init__(self, tenant_id: UUID) -> None:
        self._tenant_id = tenant_id
        self._found: dict[tuple[Stage, str, Action], _Found] = {}

    def __bool__(self) -> bool:
        return bool(self._found)

    def noting(self, stage: Stage, place: str) -> Note:
        """What to tell of finds at `place`, such as `messages.2.content`."""

        def note(hit: Hit) -> None:
            detail = {"category": hit.category, "place": place, "start": hit.start, "end": hit.end}
            self._add(stage, hit.screen, hit.action, [hit.category], {**detail, "digest": self._digest(hit)})

        return note

    def judged(self, stage: Stage, action: Action, categories: Mapping[str, float | None], place: str) -> None:
        """A moderation model's verdict: its categories, with scores where it gave some."""
        names = list(categories)
        self._add(
            stage, "moderation", action, names, {"place": place, "categories": dict(list(categories.items())[:10])}
        )

    def _add(
        self, stage: Stage, screen: str, action: Action, categories: Iterable[str], detail: dict[str, Any]
    ) -> None:
        found = self._found.setdefault((stage, screen, action), _Found())
        found.count += 1
        for category in categories:
            if len(found.categories) < _MOST_CATEGORIES:
                found.categories[category[:64]] = None
        if len(found.details) < _MOST_DETAILS:
            found.details.append(detail)

    def _digest(self, hit: Hit) -> str:
        said = f"{self._tenant_id}\0{hit.category}\0{hit.text}".encode()
        return hmac.new(settings.API_KEY_HASH_KEYS[0], said, sha256).hexdigest()[:_DIGEST_LENGTH]

    def rows(self, generation_id: UUID) -> list[Screening]:
        """For the table, one for each stage, screen and action."""
        return [
            Screening(
                tenant_id=self._tenant_id, generation_id=generation_id, stage=stage, screen=screen, action=action,
                categories=list(found.categories), count=found.count, details=found.details,
            )
            for (stage, screen, action), found in self._found.items()
        ]  # fmt: skip


def record_screenings(*, generation_id: UUID, verdicts: Verdicts) -> Sequence[Screening]:
    """Write what was found in a call of the current tenant. Before the call is settled, so that no ended call lacks it."""
    with tenant_scope():
        return Screening.objects.bulk_create(verdicts.rows(generation_id))
