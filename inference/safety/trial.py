"""What a policy would do with a text: no call, no cost, nothing recorded."""

from dataclasses import dataclass
from typing import Any

from .compiled import compiled
from .policy import SafetySettings, Stage
from .text import Hit, screened

_MOST_FINDINGS = 1_000


@dataclass(frozen=True)
class Trial:
    """`text` as it would go on: with placeholders, up to what is blocked; `findings` are places in the text given."""

    action: str
    text: str
    findings: list[Hit]
    more: int
    not_asked: list[str]


def try_policy(*, settings: SafetySettings, stage: Stage, text: str) -> Trial:
    """The local screens of one stage on a text; a moderation model is not asked."""
    policy = compiled(settings)
    hits: list[Hit] = []
    out, _ = screened(text, getattr(policy, stage), hits.append)
    done = {hit.action for hit in hits}
    action = next((action for action in ("block", "mask", "flag") if action in done), "none")
    chosen: Any = settings.stage(stage)
    not_asked = ["moderation"] if getattr(chosen, "moderation", None) else []
    return Trial(action, out, hits[:_MOST_FINDINGS], max(0, len(hits) - _MOST_FINDINGS), not_asked)
