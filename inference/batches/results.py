"""The end of a batch: its output and its error file, written line by line, and the rows that say so, all at once.

A worker that dies while it writes leaves bytes that no row names; the next writes them anew, under other ids.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast
from uuid import UUID

import orjson

from knowledge.files import keep_output
from knowledge.models import File
from tenants.audit import SYSTEM, record
from tenants.ids import public_id, uuid7
from tenants.scope import tenant_scope

from ..models import Batch, BatchLine
from .input_file import InputGone, unread_lines
from .lines import read_line

_PAGE = 200
State = Batch.State
#: Why a line had no turn, by how its batch ended; the first as OpenAI has it.
_DROPPED = {
    State.EXPIRED: ("batch_expired", "This request could not be executed before the completion window expired."),
    State.CANCELLED: ("batch_cancelled", "The batch was cancelled before this request was executed."),
    State.FAILED: ("batch_failed", "The batch failed before this request was executed."),
}


@dataclass
class Usage:
    """The tokens of a batch's answers."""

    input_tokens: int = 0
    cached_tokens: int = 0
    output_tokens: int = 0
    reasoning_tokens: int = 0

    def add(self, answer: dict[str, Any]) -> None:
        """Those of one answer, in the names of chat and embeddings, or of responses."""
        used = answer.get("usage") or {}
        self.input_tokens += used.get("prompt_tokens", used.get("input_tokens")) or 0
        self.output_tokens += used.get("completion_tokens", used.get("output_tokens")) or 0
        read = used.get("prompt_tokens_details") or used.get("input_tokens_details") or {}
        written = used.get("completion_tokens_details") or used.get("output_tokens_details") or {}
        self.cached_tokens += read.get("cached_tokens") or 0
        self.reasoning_tokens += written.get("reasoning_tokens") or 0

    def as_json(self) -> dict[str, Any]:
        """As OpenAI has it."""
        return {
            "input_tokens": self.input_tokens,
            "input_tokens_details": {"cached_tokens": self.cached_tokens},
            "output_tokens": self.output_tokens,
            "output_tokens_details": {"reasoning_tokens": self.reasoning_tokens},
            "total_tokens": self.input_tokens + self.output_tokens,
        }


@dataclass
class _Writer:
    """One of the two files."""

    name: str
    content: BinaryIO
    lines: int = 0

    def add(self, id: UUID, custom_id: str, *, response: Any = None, error: Any = None) -> None:
        entry = {"id": public_id("batch_req_", id), "custom_id": custom_id, "response": response, "error": error}
        self.content.write(orjson.dumps(entry) + b"\n")
        self.lines += 1

    def file(self, batch: Batch, *, now: datetime) -> File | None:
        """Stored; None where nothing was written."""
        if not self.lines:
            return None
        size = self.content.tell()
        self.content.seek(0)
        lifetime = timedelta(seconds=batch.output_seconds) if batch.output_seconds else None
        return keep_output(
            file_id=uuid7(),
            filename=f"{public_id('batch_', batch.id)}_{self.name}.jsonl",
            content=self.content,
            size=size,
            purpose="batch_output",
            made_with=batch.groups,
            expires_at=now + lifetime if lifetime else None,
        )


@dataclass
class _Results:
    output: _Writer
    errors: _Writer
    usage: Usage = field(default_factory=Usage)


def write_results(batch: Batch, *, ending: str, now: datetime, check: Callable[[], None]) -> dict[str, Any]:
    """Write what became of the lines, and store it.

    Args:
        ending: the state in which the batch ends.
        check: called now and then; what it raises ends the work.

    Returns:
        The columns of the batch; `save_results` writes them with the rows of the files.
    """
    with ExitStack() as exits:
        files = [cast(BinaryIO, exits.enter_context(TemporaryFile())) for _ in range(2)]
        results = _Results(_Writer("output", files[0]), _Writer("error", files[1]))
        for line in _ended_lines(batch):
            if line.number % _PAGE == 0:
                check()
            _write(results, line, ending)
        _write_unread(batch, results, ending, check)
        output, errors = results.output.file(batch, now=now), results.errors.file(batch, now=now)
    return {
        "files": [file for file in (output, errors) if file is not None],
        "output_file_id": output.id if output else None,
        "error_file_id": errors.id if errors else None,
        "completed": results.output.lines,
        "failed": results.errors.lines,
        "usage": results.usage.as_json(),
    }


def save_results(batch: Batch, columns: dict[str, Any]) -> None:
    """The files' rows, and the batch's; its lines are needed no more. Inside the scope that ends the batch."""
    for file in columns.pop("files"):
        file.save(force_insert=True)
        record(by=SYSTEM, action="file.created", target=file, changes={"bytes": file.bytes, "purpose": file.purpose})
    Batch.objects.filter(id=batch.id).update(**columns)
    BatchLine.objects.filter(batch=batch).delete()


def _ended_lines(batch: Batch) -> Iterator[BatchLine]:
    """In the order of their numbers, a page at a time, each read in a transaction of its own."""
    after = 0
    while True:
        with tenant_scope():
            rows = BatchLine.objects.filter(batch=batch, number__gt=after).defer("body").order_by("number")
            page = list(rows[:_PAGE])
        yield from page
        if len(page) < _PAGE:
            return
        after = page[-1].number


def _write(results: _Results, line: BatchLine, ending: str) -> None:
    if line.state == BatchLine.State.DROPPED:
        results.errors.add(line.id, line.custom_id, error=_dropped(ending))
        return
    response = {
        "status_code": line.status or 200,
        "request_id": line.generation_id.hex if line.generation_id else line.id.hex,
        "body": line.answer,
    }
    if line.state == BatchLine.State.COMPLETED:
        results.usage.add(line.answer or {})
        results.output.add(line.id, line.custom_id, response=response)
    else:
        results.errors.add(line.id, line.custom_id, response=response)


def _write_unread(batch: Batch, results: _Results, ending: str, check: Callable[[], None]) -> None:
    """The lines that never had a row; none where the file was never found to be valid, or is gone."""
    if batch.total == 0:
        return
    try:
        for raw in unread_lines(batch):
            if raw.number % _PAGE == 0:
                check()
            line = read_line(raw, endpoint=batch.endpoint)
            results.errors.add(uuid7(), line.custom_id, error=_dropped(ending))
    except InputGone:
        return


def _dropped(ending: str) -> dict[str, str]:
    code, message = _DROPPED[State(ending)]
    return {"code": code, "message": message}
