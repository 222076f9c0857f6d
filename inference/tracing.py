"""What a call leaves behind for whoever asks later why it took so long, and why it said that.

It is written with the call's settlement, so it costs no round trip. `trace` has times only and stays with the row;
`found` says which passages search found, by place and score, and goes when the contents do.
"""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from knowledge.retrieval import Passage


class Trace:
    """Of one call, from its claim on."""

    def __init__(self) -> None:
        self._began, self._clock = datetime.now(UTC), time.perf_counter()
        self._steps: list[dict[str, Any]] = []
        self._passages: list[dict[str, Any]] | None = None
        self.cached = False

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Something that takes time, and ends however it ends."""
        started = self._elapsed()
        try:
            yield
        finally:
            self._steps.append({"step": name, "at_ms": started, "ms": round(self._elapsed() - started, 1)})

    def _elapsed(self) -> float:
        return round((time.perf_counter() - self._clock) * 1000, 1)

    def retrieved(self, passages: "Sequence[Passage]") -> None:
        """What search found, best first."""
        self._passages = [_place(passage) for passage in passages]

    def shown(self, passages: "Sequence[Passage]") -> None:
        """What the model was given of it, in the order of the numbers by which an answer cites."""
        numbers = {str(passage.chunk_id): number for number, passage in enumerate(passages, start=1)}
        for place in self._passages or ():
            place["number"] = numbers.get(place["chunk_id"])

    def as_json(self) -> dict[str, Any]:
        """For the row's `trace`."""
        return {
            "began_at": self._began.isoformat(),
            "steps": self._steps,
            "ms": self._elapsed(),
            **({"cached": True} if self.cached else {}),
        }

    def found(self) -> list[dict[str, Any]] | None:
        """For the row's `found`; None where nothing was searched."""
        return self._passages


def _place(passage: "Passage") -> dict[str, Any]:
    return {
        "file_id": str(passage.file_id),
        "filename": passage.filename,
        "store_file_id": str(passage.store_file_id),
        "chunk_id": str(passage.chunk_id),
        "page": passage.page,
        "start": passage.start,
        "end": passage.end,
        "score": round(passage.score, 6),
        "number": None,
    }
