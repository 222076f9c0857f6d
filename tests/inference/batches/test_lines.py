"""A batch's input file: cut into lines wherever the parts of it begin and end, and read with OpenAI's strictness."""

import io
import json
from typing import Any

import pytest

from inference.batches import lines, validation
from inference.batches.lines import BadLine, RawLine, cut, read_line

CHAT = "/v1/chat/completions"


def line(custom_id: Any = "a", **changed: Any) -> bytes:
    call = {"custom_id": custom_id, "method": "POST", "url": CHAT, "body": {"model": "m"}}
    return json.dumps({**call, **changed}).encode()


def in_parts(data: bytes, size: int) -> Any:
    """A `read` that never gives more than `size` bytes."""
    source = io.BytesIO(data)
    return lambda asked: source.read(min(asked, size))


def report(*rows: bytes, end: bytes = b"\n") -> validation.Report:
    data = b"".join(row + end for row in rows)
    return validation.validate(in_parts(data, 1000), endpoint=CHAT, check=lambda: None)


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_are_the_same_however_the_file_arrives(size: int) -> None:
    data = b"\xef\xbb\xbfone\r\n\n  \ntwo\nlast"
    found = list(cut(in_parts(data, size)))
    assert found == [RawLine(1, b"one\r", 8), RawLine(4, b"two", 16), RawLine(5, b"last", 21)]
    # From where any line ended the rest is found again.
    assert list(cut(in_parts(data[8:], size), number=2, start=8)) == found[1:]


def test_an_endless_line_is_refused_before_it_fills_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lines, "MAX_LINE_BYTES", 100)
    found = report(line("a"), b"x" * 3000)
    assert found.total == 1 and [(e["code"], e["line"]) for e in found.errors] == [("line_too_long", 2)]


@pytest.mark.parametrize(
    ("data", "code", "param"),
    [
        (b"{nonsense", "invalid_json_line", None),
        (b"[1]", "invalid_json_line", None),
        (json.dumps({"custom_id": "a", "method": "POST", "url": CHAT}).encode(), "missing_required_parameter", "body"),
        (line(""), "invalid_custom_id", "custom_id"),
        (line(7), "invalid_custom_id", "custom_id"),
        (line("a\0b"), "invalid_custom_id", "custom_id"),
        (line("a" * 513), "invalid_custom_id", "custom_id"),
        (line(method="GET"), "invalid_method", "method"),
        (line(url="/v1/embeddings"), "invalid_url", "url"),
        (line(body=[]), "invalid_request_body", "body"),
    ],
)
def test_a_line_that_is_no_call_is_named(data: bytes, code: str, param: str | None) -> None:
    with pytest.raises(BadLine) as refused:
        read_line(RawLine(3, data, 0), endpoint=CHAT)
    assert refused.value.as_json() == {"code": code, "line": 3, "message": refused.value.message, "param": param}


def test_the_first_hundred_errors_are_listed_with_their_lines() -> None:
    found = report(line("a"), b"", line("a"), *[b"{"] * 150)
    assert [(e["code"], e["line"]) for e in found.errors[:2]] == [("duplicate_custom_id", 3), ("invalid_json_line", 4)]
    assert len(found.errors) == 100 and found.total == 1


def test_a_good_file_says_how_many_lines_and_which_model() -> None:
    found = report(line("a"), line("b"), end=b"\r\n")
    assert (found.total, found.model, found.errors) == (2, "m", [])
    assert report(line("a"), line("b", body={"model": "other"})).model == ""


def test_neither_an_empty_file_nor_one_of_too_many_lines_is_a_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [error["code"] for error in report(b"", b" ").errors] == ["empty_file"]
    monkeypatch.setattr(validation, "MAX_LINES", 2)
    assert report(line("a"), line("b")).errors == []
    assert [error["code"] for error in report(line("a"), line("b"), line("c")).errors] == ["too_many_requests"]
