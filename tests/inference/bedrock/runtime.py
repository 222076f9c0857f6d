"""A server that speaks Amazon Bedrock's runtime API, in frames that boto3 itself parses; the last user text says how.

What it is sent stands in `requests`; `gone` is set when a caller leaves a stream that hangs. The `ok` behaviour answers
ten words, with 7 input tokens, 5 read from and 3 written to the prompt cache, and 10 output tokens.
"""

import json
import struct
import threading
from binascii import crc32
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

WORDS = [f"word{number} " for number in range(10)]
USAGE = {"inputTokens": 7, "outputTokens": 10, "totalTokens": 25, "cacheReadInputTokens": 5, "cacheWriteInputTokens": 3}


def frame(headers: dict[str, str], payload: bytes) -> bytes:
    """One message of `application/vnd.amazon.eventstream`."""
    packed = b"".join(
        struct.pack(f"!B{len(name)}sBH{len(value)}s", len(name), name.encode(), 7, len(value), value.encode())
        for name, value in headers.items()
    )
    prelude = struct.pack("!II", 16 + len(packed) + len(payload), len(packed))
    message = prelude + struct.pack("!I", crc32(prelude)) + packed + payload
    return message + struct.pack("!I", crc32(message))


def event(kind: str, data: dict[str, Any]) -> bytes:
    """An event of a stream."""
    return frame(
        {":event-type": kind, ":content-type": "application/json", ":message-type": "event"}, json.dumps(data).encode()
    )


def exception(kind: str, message: str) -> bytes:
    """A failure in the middle of a stream."""
    headers = {":exception-type": kind, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps({"message": message}).encode())


def text_events(words: list[str]) -> list[bytes]:
    """`words`, one delta each."""
    return [event("contentBlockDelta", {"contentBlockIndex": 0, "delta": {"text": word}}) for word in words]


def closing(stop: str = "end_turn", usage: dict[str, int] = USAGE) -> list[bytes]:
    """How a stream ends."""
    return [
        event("messageStop", {"stopReason": stop}),
        event("metadata", {"usage": usage, "metrics": {"latencyMs": 5}}),
    ]


@dataclass
class Asked:
    """A request as it arrived."""

    path: str
    headers: dict[str, str]
    body: dict[str, Any]


class BedrockRuntime(ThreadingHTTPServer):
    """Serves on a port of its own. `answers`: what to answer instead, by the last part of the path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.requests: list[Asked] = []
        self.answers: dict[str, Any] = {}
        self.events: list[bytes] | None = None
        self.connections = 0
        self.streaming, self.gone, self.sent = threading.Event(), threading.Event(), 0
        threading.Thread(target=self.serve_forever, args=[0.02], daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def get_request(self) -> Any:
        self.connections += 1
        return super().get_request()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that hang up are part of the tests."""

    def close(self) -> None:
        """Stop serving."""
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: BedrockRuntime

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        path = unquote(self.path)
        self.server.requests.append(Asked(path, {name.lower(): value for name, value in self.headers.items()}, body))
        action = path.rsplit("/", 1)[1]
        if action in self.server.answers:
            given = self.server.answers[action]
            return self._json(200, given(body) if callable(given) else given)
        said = self._said(body)
        if said.startswith("fault:"):
            return getattr(self, "_" + said.split()[0].removeprefix("fault:"))(action)
        if action == "converse-stream":
            opening = [event("messageStart", {"role": "assistant"})]
            return self._stream(self.server.events or opening + text_events(WORDS) + closing())
        message = {"role": "assistant", "content": [{"text": "".join(WORDS)}]}
        return self._json(200, {"output": {"message": message}, "stopReason": "end_turn", "usage": USAGE})

    def _said(self, body: dict[str, Any]) -> str:
        users = [turn for turn in body.get("messages") or () if turn["role"] == "user"]
        return users[-1]["content"][-1].get("text", "") if users else ""

    # behaviours -------------------------------------------------------------------------------------------------------

    def _throttles(self, action: str) -> None:
        self._refuse(429, "ThrottlingException", "Too many tokens, please wait before trying again.", after="3")

    def _invalid(self, action: str) -> None:
        self._refuse(400, "ValidationException", "temperature: range: 0..1")

    def _too_long(self, action: str) -> None:
        self._refuse(400, "ValidationException", "Input is too long for requested model.")

    def _denied(self, action: str) -> None:
        self._refuse(403, "AccessDeniedException", "User: arn:aws:iam::123456789012:user/x is not authorized")

    def _no_model(self, action: str) -> None:
        self._refuse(400, "ValidationException", "The provided model identifier is invalid.")

    def _unavailable(self, action: str) -> None:
        self._refuse(503, "ServiceUnavailableException", "Bedrock is unable to process your request.")

    def _model_times_out(self, action: str) -> None:
        self._refuse(408, "ModelTimeoutException", "Model has timed out.")

    def _not_json(self, action: str) -> None:
        self._raw(200, "text/html", b"<html>It works!</html>")

    def _fails_midway(self, action: str) -> None:
        self._stream([*text_events(WORDS[:3]), exception("modelStreamErrorException", "The model stumbled.")])

    def _throttles_midway(self, action: str) -> None:
        self._stream([*text_events(WORDS[:3]), exception("throttlingException", "Slow down.")])

    def _stops_short(self, action: str) -> None:
        """A clean end without a messageStop."""
        self._stream(text_events(WORDS[:3]))

    def _cut(self, action: str) -> None:
        """Hangs up in the middle of a frame."""
        self._start()
        self._chunk(text_events(WORDS[:1])[0])
        self._chunk(text_events(WORDS[1:2])[0][:20])
        self.close_connection = True
        self.connection.shutdown(2)

    def _damaged(self, action: str) -> None:
        """A frame whose checksum is wrong."""
        good = text_events(WORDS[:1])[0]
        self._stream([good, good[:-1] + bytes([good[-1] ^ 1])])

    def _hangs(self, action: str) -> None:
        """Two words, then silence until the caller leaves."""
        self._start()
        for data in text_events(WORDS[:2]):
            self._chunk(data)
        self._wait_for_the_caller_to_leave()

    def _silent(self, action: str) -> None:
        """Not even a head."""
        self._wait_for_the_caller_to_leave()

    def _floods(self, action: str) -> None:
        """Events for as long as somebody takes them."""
        self._start()
        data = text_events(["x" * 8000])[0]
        try:
            while self.server.sent < 100_000_000:
                self._chunk(data)
                self.server.sent += len(data)
        except OSError:
            self.server.gone.set()
        self.close_connection = True

    def _wait_for_the_caller_to_leave(self) -> None:
        self.server.streaming.set()
        self.connection.settimeout(30)
        try:
            left = self.connection.recv(1) == b""
        except TimeoutError:
            left = False
        except OSError:
            left = True
        if left:
            self.server.gone.set()
        self.close_connection = True

    # wire -------------------------------------------------------------------------------------------------------------

    def _stream(self, frames: list[bytes]) -> None:
        self._start()
        for data in frames:
            self._chunk(data)
        self._chunk(b"")

    def _start(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/vnd.amazon.eventstream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _refuse(self, status: int, kind: str, message: str, after: str = "") -> None:
        more = {"x-amzn-errortype": kind, **({"retry-after": after} if after else {})}
        self._json(status, {"message": message}, more)

    def _json(self, status: int, data: Any, headers: dict[str, str] | None = None) -> None:
        self._raw(status, "application/json", json.dumps(data).encode(), headers)

    def _raw(self, status: int, kind: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        self.send_header("x-amzn-bedrock-input-token-count", "6")
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
