"""A model server that misbehaves on demand: the last user message or the model's name says how.

It speaks enough of OpenAI's HTTP API to be an upstream, counts what it served, and lets tests wait for events instead
of sleeping. `ok` behaviour: ten words, usage 7 input and 10 output tokens.
"""

import json
import os
import socket
import struct
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

WORDS = [f"word{number} " for number in range(10)]
FLOOD = 10_000_000
USAGE = {"prompt_tokens": 7, "completion_tokens": 10, "total_tokens": 17}


class Upstream(ThreadingHTTPServer):
    """Serves on a port of its own; `calls` counts completions by behaviour, `gone` those whose caller left."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.calls: dict[str, int] = {}
        self.bodies: list[dict[str, Any]] = []
        #: Models that have stopped misbehaving.
        self.mended: set[str] = set()
        self.streaming = threading.Event()
        self.gone = threading.Event()
        self.release = threading.Event()
        self.lock = threading.Lock()
        threading.Thread(target=self.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/v1"

    def asked(self, model: str) -> int:
        """How many calls of a model came."""
        return sum(body["model"] == model for body in self.bodies)

    def count(self, behaviour: str) -> int:
        with self.lock:
            self.calls[behaviour] = self.calls.get(behaviour, 0) + 1
            return self.calls[behaviour]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Callers that hang up are part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Upstream

    def log_message(self, *args: Any) -> None:
        """Quiet."""

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.bodies.append(body)
        if self.path.endswith("/embeddings"):
            return self._embeddings(body)
        if self.path.endswith("/moderations"):
            return self._moderations(body)
        said = next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user")
        if isinstance(said, str) and "does not match the JSON Schema" in said:
            said = next(m["content"] for m in body["messages"] if m["role"] == "user") + " "
            said = said.replace(" ", "-again ", 1)
        behaviour = said.split()[0] if isinstance(said, str) and said.startswith("fault:") else "ok"
        # A model called `fault:…#…` misbehaves whatever is said: its fallback, asked the same, does not.
        if body["model"].startswith("fault:") and body["model"] not in self.server.mended:
            behaviour = body["model"].partition("#")[0]
        number = self.server.count(body["model"] if body["model"].startswith("fault:") else behaviour)
        handler = getattr(self, "_" + behaviour.removeprefix("fault:").replace("-", "_"))
        handler(body, number)

    def _embeddings(self, body: dict[str, Any]) -> None:
        """A vector begins with the length of its text, or of its token array."""
        texts = body["input"]
        data = [{"object": "embedding", "index": i, "embedding": [len(t), 0.5, 0.5, 0.5]} for i, t in enumerate(texts)]
        self._json(200, {"object": "list", "data": data, "usage": {"prompt_tokens": 3 * len(texts), "total_tokens": 0}})

    def _moderations(self, body: dict[str, Any]) -> None:
        """Finds violence where somebody wants to `harm`, and fails where the text says so."""
        texts = body["input"]
        if any("moderation:away" in text for text in texts):
            return self._json(500, {"error": {"message": "oops"}})
        harmful = ["harm" in text for text in texts]
        results = [
            {
                "flagged": found,
                "categories": {"violence": found},
                "category_scores": {"violence": 0.9 if found else 0.01},
            }
            for found in harmful
        ]
        self._json(200, {"id": "modr-1", "model": body["model"], "results": results})

    # behaviours -------------------------------------------------------------------------------------------------------

    def _ok(self, body: dict[str, Any], number: int) -> None:
        if body.get("stream"):
            self._stream(body, WORDS)
        else:
            self._json(200, self._completion(body, "".join(WORDS)))

    def _says(self, body: dict[str, Any], number: int) -> None:
        """Says the rest of the user's last message without its equals signs, in pieces of five characters."""
        said = next(m["content"] for m in reversed(body["messages"]) if m["role"] == "user")
        text = said.removeprefix("fault:says ").replace("=", "")
        if body.get("stream"):
            self._stream(body, [text[start : start + 5] for start in range(0, len(text), 5)])
        else:
            self._json(200, self._completion(body, text))

    def _cites(self, body: dict[str, Any], number: int) -> None:
        self._json(200, self._completion(body, "The answer stands here [1]."))

    def _calls(self, body: dict[str, Any], number: int) -> None:
        """Calls the first tool that was offered, in two parts where it streams; answers in words once it has a result."""
        if body["messages"][-1]["role"] == "tool":
            return self._ok(body, number)
        function = {"name": body["tools"][0]["function"]["name"], "arguments": '{"city": '}
        call = {"index": 0, "id": f"call_{number}", "type": "function", "function": function}
        rest = {"index": 0, "function": {"arguments": '"Oslo"}'}}
        if not body.get("stream"):
            function["arguments"] += rest["function"]["arguments"]
            answer = self._completion(body, "")
            answer["choices"][0] |= {"finish_reason": "tool_calls"}
            answer["choices"][0]["message"] |= {"content": None, "tool_calls": [call]}
            return self._json(200, answer)
        self._start_stream()
        self._event(body, {"role": "assistant", "content": None, "tool_calls": [call]})
        self._event(body, {"tool_calls": [rest]})
        self._finish(body, "tool_calls")

    def _says_json(self, body: dict[str, Any], number: int) -> None:
        """As a schema or, for clients that ask for the shape by a tool, as the tool's arguments."""
        shape = json.dumps({"city": "Oslo", "degrees": 4})
        answer = self._completion(body, shape)
        if body.get("tools"):
            function = {"name": body["tools"][0]["function"]["name"], "arguments": shape}
            call = {"id": f"call_{number}", "type": "function", "function": function}
            answer["choices"][0] |= {"finish_reason": "tool_calls"}
            answer["choices"][0]["message"] |= {"content": None, "tool_calls": [call]}
        self._json(200, answer)

    def _refuses(self, body: dict[str, Any], number: int) -> None:
        self._json(400, {"error": {"message": "bad temperature", "type": "x", "param": "temperature", "code": "bad"}})

    def _credentials(self, body: dict[str, Any], number: int) -> None:
        self._json(401, {"error": {"message": "Incorrect API key sk-secret"}})

    def _overloaded(self, body: dict[str, Any], number: int) -> None:
        self._json(429, {"error": {"message": "slow down"}}, {"retry-after": "1"})

    def _overloaded_silently(self, body: dict[str, Any], number: int) -> None:
        """As before, without saying for how long."""
        self._json(429, {"error": {"message": "slow down"}})

    def _overloaded_for_long(self, body: dict[str, Any], number: int) -> None:
        self._json(429, {"error": {"message": "slow down"}}, {"retry-after": "600"})

    def _flaky(self, body: dict[str, Any], number: int) -> None:
        if number % 3:
            self._json(500, {"error": {"message": "oops"}})
        else:
            self._ok(body, number)

    def _broken(self, body: dict[str, Any], number: int) -> None:
        self._json(500, {"error": {"message": "always"}})

    def _half_json(self, body: dict[str, Any], number: int) -> None:
        half = b'{"id": "x", "choices": [{"mess'
        if not body.get("stream"):
            return self._raw(200, "application/json", half)
        self._start_stream()
        self._chunk(b"data: " + half + b"\n\n")
        self._chunk(b"")

    def _html(self, body: dict[str, Any], number: int) -> None:
        self._raw(200, "text/html", b"<html>It works!</html>")

    def _resets(self, body: dict[str, Any], number: int) -> None:
        self._reset()

    def _resets_midway(self, body: dict[str, Any], number: int) -> None:
        self._start_stream()
        for word in WORDS[:4]:
            self._event(body, {"content": word})
        # A reset discards what the caller has not read yet: it must have read the words.
        time.sleep(0.2)
        self._reset()

    def _half_json_midway(self, body: dict[str, Any], number: int) -> None:
        self._start_stream()
        for word in WORDS[:4]:
            self._event(body, {"content": word})
        time.sleep(0.2)  # what comes together with garbage before a word was read is a failure, not half an answer
        self._chunk(b'data: {"id": "x", "choices": [{"mess\n\n')
        self._chunk(b"")

    def _floods(self, body: dict[str, Any], number: int) -> None:
        """Ten million characters in one piece."""
        text = "x" * FLOOD
        if not body.get("stream"):
            return self._json(200, self._completion(body, text))
        self._stream(body, [text])

    def _talks_on(self, body: dict[str, Any], number: int) -> None:
        """Ten words whatever the limit; it ends and counts as if nothing were wrong."""
        self._ok(body, number)

    def _breaks_off(self, body: dict[str, Any], number: int) -> None:
        self._start_stream()
        for word in WORDS[:4]:
            self._event(body, {"content": word})
        self._hang_up()

    def _no_done(self, body: dict[str, Any], number: int) -> None:
        self._start_stream()
        for word in WORDS[:4]:
            self._event(body, {"content": word})
        self._event(body, {}, "stop")
        self._chunk(b"")

    def _no_usage(self, body: dict[str, Any], number: int) -> None:
        self._json(200, {**self._completion(body, "one two three four"), "usage": None})

    def _thinks(self, body: dict[str, Any], number: int) -> None:
        """Found most of the prompt in its cache, and thought before it wrote."""
        usage = {
            "prompt_tokens": 7,
            "completion_tokens": 10,
            "total_tokens": 17,
            "prompt_tokens_details": {"cached_tokens": 5},
            "completion_tokens_details": {"reasoning_tokens": 8},
        }
        self._json(200, {**self._completion(body, "Well."), "usage": usage})

    def _structured(self, body: dict[str, Any], number: int) -> None:
        self._json(200, self._completion(body, '{"n": "x"}'))

    def _structured_again(self, body: dict[str, Any], number: int) -> None:
        self._json(200, self._completion(body, '{"n": 1}'))

    def _never_structured(self, body: dict[str, Any], number: int) -> None:
        if body.get("stream"):
            self._stream(body, ["no ", "JSON"])
        else:
            self._json(200, self._completion(body, "no JSON"))

    _never_structured_again = _never_structured

    def _overruns(self, body: dict[str, Any], number: int) -> None:
        """Reports far more than it was allowed to produce."""
        usage = {"prompt_tokens": 7, "completion_tokens": 1_000_000, "total_tokens": 1_000_007}
        self._json(200, {**self._completion(body, "too much"), "usage": usage})

    def _dear_overruns(self, body: dict[str, Any], number: int) -> None:
        """The model named dear reports ten times of what it was asked for; any other fails."""
        if body["model"] != "dear":
            self._json(500, {"error": {"message": "oops"}})
            return
        usage = {"prompt_tokens": 70, "completion_tokens": 100, "total_tokens": 170}
        self._json(200, {**self._completion(body, "ten times"), "usage": usage})

    def _hangs(self, body: dict[str, Any], number: int) -> None:
        """Two words, then silence until the test releases it or the caller leaves."""
        self._start_stream()
        for word in WORDS[:2]:
            self._event(body, {"content": word})
        self.server.streaming.set()
        deadline = time.monotonic() + 30
        self.connection.settimeout(0.05)
        while time.monotonic() < deadline and not self.server.release.is_set():
            try:
                if self.connection.recv(1) == b"":
                    self.server.gone.set()
                    self.close_connection = True
                    return
            except TimeoutError:
                continue
            except OSError:
                self.server.gone.set()
                self.close_connection = True
                return
        self.connection.settimeout(None)
        for word in WORDS[2:]:
            self._event(body, {"content": word})
        self._finish(body)

    def _slow(self, body: dict[str, Any], number: int) -> None:
        """Answers when the test releases it."""
        self.server.release.wait(30)
        self._ok(body, number)

    def _hang_up(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _reset(self) -> None:
        """RST instead of FIN: what is under way is lost."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        # socketserver would say goodbye first: it shuts the connection down before it closes it.
        os.close(self.connection.detach())

    # wire -------------------------------------------------------------------------------------------------------------

    def _completion(self, body: dict[str, Any], text: str) -> dict[str, Any]:
        choice = {"message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        if body.get("logprobs"):
            odds = [{"token": word, "logprob": -0.1, "bytes": None, "top_logprobs": []} for word in WORDS]
            choice["logprobs"] = {"content": odds, "refusal": None}
        choices = [{"index": index, **choice} for index in range(body.get("n") or 1)]
        return {
            "id": "up-1",
            "object": "chat.completion",
            "created": 1,
            "model": body["model"],
            "choices": choices,
            "usage": USAGE,
        }

    def _stream(self, body: dict[str, Any], words: list[str]) -> None:
        self._start_stream()
        for word in words:
            self._event(body, {"content": word})
        self._finish(body)

    def _finish(self, body: dict[str, Any], reason: str = "stop") -> None:
        self._event(body, {}, reason)
        self._data({"id": "up-1", "object": "chat.completion.chunk", "choices": [], "usage": USAGE})
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _start_stream(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()

    def _event(self, body: dict[str, Any], delta: dict[str, Any], finish: str | None = None) -> None:
        choices = [{"index": 0, "delta": delta, "finish_reason": finish}]
        self._data({"id": "up-1", "object": "chat.completion.chunk", "model": body["model"], "choices": choices})

    def _data(self, data: dict[str, Any]) -> None:
        self._chunk(b"data: " + json.dumps(data).encode() + b"\n\n")

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def _json(self, status: int, data: dict[str, Any], headers: dict[str, str] | None = None) -> None:
        self._raw(status, "application/json", json.dumps(data).encode(), headers)

    def _raw(self, status: int, kind: str, data: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)
