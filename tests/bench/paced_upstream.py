"""A model server that writes at a given pace and stamps each chunk with the moment it left: `python -m … PORT`.

The question says the pace, as `chunks=10 every_ms=20`. A stamp is `time.monotonic()`, which all processes of one machine
share, so that whoever receives a chunk knows how long it was under way.
"""

import asyncio
import re
import sys
import time

import orjson
import uvloop
from aiohttp import web

_PACE = re.compile(r"chunks=(\d+) every_ms=(\d+)")


async def _complete(request: web.Request) -> web.StreamResponse:
    body = orjson.loads(await request.read())
    chunks, every_ms = map(int, _PACE.search(body["messages"][-1]["content"]).groups())  # type: ignore[union-attr]
    answer = web.StreamResponse(headers={"content-type": "text/event-stream"})
    await answer.prepare(request)
    started = time.monotonic()
    for number in range(chunks):
        await asyncio.sleep(max(0.0, started + number * every_ms / 1000 - time.monotonic()))
        await answer.write(
            _event([{"index": 0, "delta": {"content": f"{time.monotonic():.6f} "}, "finish_reason": None}])
        )
    usage = {"prompt_tokens": 10, "completion_tokens": chunks, "total_tokens": 10 + chunks}
    await answer.write(_event([{"index": 0, "delta": {}, "finish_reason": "stop"}]) + _event([], usage=usage))
    await answer.write(b"data: [DONE]\n\n")
    return answer


def _event(choices: list[dict[str, object]], **more: object) -> bytes:
    return b"data: " + orjson.dumps({"object": "chat.completion.chunk", "choices": choices, **more}) + b"\n\n"


async def _models(request: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": []})


if __name__ == "__main__":
    application = web.Application()
    application.router.add_post("/v1/chat/completions", _complete)
    application.router.add_get("/v1/models", _models)
    web.run_app(
        application, host="127.0.0.1", port=int(sys.argv[1]), loop=uvloop.new_event_loop(), print=lambda *_: None
    )
