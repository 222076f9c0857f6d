"""An OpenAI-compatible embedding server that answers at once, in a process of its own.

    python -m tests.bench.embedding_upstream PORT DIMENSIONS

Its vectors are noise; what it costs is HTTP and JSON.
"""

import base64
import os
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import orjson
import uvicorn

from tests.bench.processes import ROOT, free_port, running

_VECTOR = np.random.default_rng(0)


class Embeddings:
    """The ASGI application."""

    def __init__(self, dimensions: int) -> None:
        vector = _VECTOR.normal(size=dimensions).astype("<f4")
        self._plain = vector.tolist()
        self._encoded = base64.b64encode(vector.tobytes()).decode()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return
        body = b""
        while (message := await receive())["type"] == "http.request":
            body += message["body"]
            if not message.get("more_body"):
                break
        answer = orjson.dumps(self._answer(orjson.loads(body)) if body else {})
        headers = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(answer))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": answer})

    def _answer(self, request: dict) -> dict:
        vector = self._encoded if request.get("encoding_format") == "base64" else self._plain
        data = [{"object": "embedding", "index": at, "embedding": vector} for at in range(len(request["input"]))]
        return {
            "object": "list",
            "data": data,
            "model": request["model"],
            "usage": {"prompt_tokens": 1, "total_tokens": 1},
        }


@contextmanager
def embedding_upstream(dimensions: int = 384) -> Iterator[str]:
    """Run it and yield its base URL."""
    port = free_port()
    command = [sys.executable, "-m", "tests.bench.embedding_upstream", str(port), str(dimensions)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with running("embedding-upstream", command, env=environment, ready=lambda _log: _listens(port), timeout=20):
        yield f"http://127.0.0.1:{port}/v1"


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    application = Embeddings(int(sys.argv[2]))
    uvicorn.run(
        application, port=int(sys.argv[1]), loop="uvloop", http="httptools", log_level="warning", access_log=False
    )
