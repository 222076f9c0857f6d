"""What a call leaves behind of its time and of its passages."""

from uuid import UUID

import pytest

from inference.tracing import Trace
from knowledge.retrieval import Passage
from tenants.ids import uuid7


def passage(name: str) -> Passage:
    return Passage(
        file_id=uuid7(), filename=name, store_file_id=uuid7(), chunk_id=uuid7(), text="Thirty days.", score=0.75, page=3,
        start=10, end=22, attributes={},
    )  # fmt: skip


def test_passages_have_the_numbers_by_which_the_answer_cites_them() -> None:
    trace, found = Trace(), [passage("a"), passage("b"), passage("c")]
    trace.retrieved(found)
    trace.shown([found[2], found[0]])
    left = trace.found()
    assert left is not None
    assert [(place["filename"], place["number"]) for place in left] == [("a", 2), ("b", None), ("c", 1)]
    assert UUID(left[0]["chunk_id"]) == found[0].chunk_id and left[0]["score"] == 0.75
    assert not any("Thirty" in str(place) for place in left)


def test_a_call_that_searched_nothing_says_so() -> None:
    assert Trace().found() is None


def test_a_step_that_breaks_off_is_kept() -> None:
    trace = Trace()
    with trace.step("screening"):
        pass
    with pytest.raises(ValueError, match="away"), trace.step("search"):
        raise ValueError("away")
    kept = trace.as_json()
    assert [step["step"] for step in kept["steps"]] == ["screening", "search"]
    assert 0 <= kept["steps"][0]["at_ms"] <= kept["steps"][1]["at_ms"] <= kept["ms"]
