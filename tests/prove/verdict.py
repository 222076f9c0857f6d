"""What a proof says: how much was done, and every violation that was seen."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

SCALE = float(os.environ.get("PROVE_SCALE", "1.0"))


@dataclass(frozen=True)
class Verdict:
    """`figures` is for people; the promise holds where `violations` is empty. `metrics`: more figures, by name."""

    figures: str
    violations: Sequence[str]
    metrics: Mapping[str, float] = field(default_factory=dict)


def scaled(count: int, *, least: int = 1) -> int:
    """`count` operations, or the share of them that `PROVE_SCALE` asks for."""
    return max(least, round(count * SCALE))
