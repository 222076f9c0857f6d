"""The lines of a batch's input file: cut from a stream of bytes, and read one by one."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import orjson

MAX_LINE_BYTES = 20 * 1024 * 1024
MAX_CUSTOM_ID = 512
_READ_BYTES = 1024 * 1024
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class RawLine:
    """A line's bytes without its end; `number` counts from 1, blank lines too, and `end` is where the next begins."""

    number: int
    data: bytes
    end: int


@dataclass(frozen=True)
class Line:
    """A line that can be a call. `body` is JSON as the client wrote it."""

    number: int
    custom_id: str
    body: dict[str, Any]


class BadLine(Exception):
    """A line that is none; OpenAI's code, a message, the member at fault."""

    def __init__(self, number: int, code: str, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.number, self.code, self.message, self.param = number, code, message, param

    def as_json(self) -> dict[str, Any]:
        """An entry of the batch's `errors`."""
        return {"code": self.code, "line": self.number, "message": self.message, "param": self.param}


def cut(read: Callable[[int], bytes], *, number: int = 1, start: int = 0) -> Iterator[RawLine]:
    """The lines that `read` (bytes asked for → at most so many; empty at the end) yields, blank ones left out.

    Args:
        number, start: of the first line, and the byte at which it begins.

    Raises:
        BadLine: one is longer than `MAX_LINE_BYTES`; what follows is not read.
    """
    rest = b""
    while True:
        part = read(_READ_BYTES)
        pieces = (rest + part).split(b"\n")
        # Without more to come, what stands behind the last end of line is a line too.
        rest = pieces.pop() if part else b""
        for piece in pieces:
            start += len(piece) + 1
            data = piece.removeprefix(_BOM) if number == 1 else piece
            if data.strip():
                yield RawLine(number, data, start)
            number += 1
        if not part:
            return
        if len(rest) > MAX_LINE_BYTES:
            raise BadLine(number, "line_too_long", f"The line is longer than {MAX_LINE_BYTES:,} bytes.")


def read_line(raw: RawLine, *, endpoint: str) -> Line:
    """The call that a line asks for; whether its body makes sense is found out when it is admitted.

    Raises:
        BadLine: not a JSON object with `custom_id`, `method` POST, the batch's own `url` and an object as `body`.
    """
    try:
        data = orjson.loads(raw.data)
    except orjson.JSONDecodeError as error:
        raise BadLine(raw.number, "invalid_json_line", f"This line is not parseable as valid JSON: {error}.") from error
    if not isinstance(data, dict):
        raise BadLine(raw.number, "invalid_json_line", "This line is not a JSON object.")
    for name in ("custom_id", "method", "url", "body"):
        if name not in data:
            raise BadLine(raw.number, "missing_required_parameter", f"Missing required parameter: '{name}'.", name)
    custom_id = data["custom_id"]
    if not isinstance(custom_id, str) or not 0 < len(custom_id) <= MAX_CUSTOM_ID or "\0" in custom_id:
        message = f"Invalid 'custom_id': must be a string of 1 to {MAX_CUSTOM_ID} characters."
        raise BadLine(raw.number, "invalid_custom_id", message, "custom_id")
    if data["method"] != "POST":
        raise BadLine(raw.number, "invalid_method", "Invalid 'method': only POST is supported.", "method")
    if data["url"] != endpoint:
        message = f"Invalid 'url': must be {endpoint}, the endpoint of the batch."
        raise BadLine(raw.number, "invalid_url", message, "url")
    if not isinstance(data["body"], dict):
        raise BadLine(raw.number, "invalid_request_body", "Invalid 'body': must be a JSON object.", "body")
    return Line(raw.number, custom_id, data["body"])
