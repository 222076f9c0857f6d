"""Boards of several worker processes over one real Redis, and deployments that need no database."""

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest

from inference.models import Deployment, Model
from inference.routing import scripts
from inference.routing.board import Board, connect


def deployment(name: str, *, strategy: str = "weighted", **options: Any) -> Deployment:
    """A deployment of the model `m`."""
    return Deployment(name=name, model=Model(name="m", strategy=strategy), provider="openai", **options)


@pytest.fixture
async def workers() -> AsyncIterator[Callable[[], Board]]:
    """Makes boards as separate worker processes have them; what they left in Redis goes at the end."""
    async with AsyncExitStack() as stack:
        boards: list[Board] = []

        def another() -> Board:
            client = connect(os.environ["REDIS_URL"])
            stack.push_async_callback(client.aclose)
            boards.append(Board(client))
            return boards[-1]

        cleaner = connect(os.environ["REDIS_URL"])
        stack.push_async_callback(cleaner.aclose)
        yield another
        for board in boards:
            await board.settle_down()
        for name in [key async for key in cleaner.scan_iter("{routing}:*")]:
            await cleaner.delete(name)


async def let_time_pass(board: Board, ident: str) -> None:
    """As if a deployment's breaker had been open, or its rest lasted, for long enough."""
    for name in (ident, f"{ident}:rest"):
        state = await board._redis.hget(scripts.BREAKERS, name)
        if state:
            kind, _, times = state.decode().split(":")
            seconds, _ = await board._redis.time()
            await board._redis.hset(scripts.BREAKERS, name, f"{kind}:{seconds * 1000 - 1}:{times}")
