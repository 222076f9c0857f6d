"""A prompt as a person reads it: its versions and labels together, and what two versions say differently."""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from inference.models import Prompt, PromptLabel, PromptVersion
from tenants.scope import tenant_scope

from .definition import Definition
from .library import get_prompt

#: The newest versions that a page shows.
MOST_SHOWN = 100


@dataclass(frozen=True)
class WholePrompt:
    """A prompt, its newest versions (newest first), its labels, the version that is looked at, and one to compare with."""

    prompt: Prompt
    versions: Sequence[PromptVersion]
    labels: Sequence[PromptLabel]
    shown: PromptVersion | None
    other: PromptVersion | None

    def labels_at(self, number: int) -> list[str]:
        """The labels that point at a version."""
        return [label.name for label in self.labels if label.version.number == number]


@dataclass(frozen=True)
class Line:
    """One line of a comparison: `kind` is added, removed or same."""

    kind: str
    text: str


def whole_prompt(*, prompt_id: UUID, number: int | None = None, other: int | None = None) -> WholePrompt:
    """A prompt of the current tenant; `number` and `other` are versions, the newest and none where they do not exist.

    Raises:
        PromptNotFound: there is none.
    """
    with tenant_scope():
        prompt = get_prompt(prompt_id=prompt_id)
        # What a version says can be long; only those that are looked at are read.
        rows = PromptVersion.objects.filter(prompt=prompt)
        versions = list(rows.defer("definition").order_by("-number")[:MOST_SHOWN])
        read = {row.number: row for row in rows.filter(number__in=[number or 0, other or 0, prompt.newest])}
        labels = list(PromptLabel.objects.filter(prompt=prompt).select_related("version").order_by("name"))
    shown = read.get(number or 0) or read.get(prompt.newest)
    return WholePrompt(prompt, versions, labels, shown, read.get(other or 0))


def compare(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[Line]:
    """What `after` says differently from `before`, line by line, with all that is the same."""
    kinds = {"+ ": "added", "- ": "removed", "  ": "same"}
    lines = difflib.ndiff(list(_lines(before)), list(_lines(after)))
    return [Line(kinds[line[:2]], line[2:]) for line in lines if line[:2] in kinds]


def _lines(stored: Mapping[str, Any]) -> Iterator[str]:
    # A rule that says what it would say anyway is no line's worth.
    definition = Definition.model_validate(stored).model_dump(exclude_defaults=True)
    for message in definition["messages"]:
        yield f"{message['role'].capitalize()}:"
        yield from message["content"].split("\n")
    for name, rules in sorted((definition.get("variables") or {}).items()):
        yield f"Variable {name}: {json.dumps(rules, sort_keys=True, ensure_ascii=False)}"
    for name, value in sorted((definition.get("defaults") or {}).items()):
        yield f"Default {name}: {json.dumps(value, sort_keys=True, ensure_ascii=False)}"
