"""Making a long history fit a context window: the oldest turns are left out, by tokens.

What stays in any case: system and developer messages, the newest turn, and with each call of a function its output.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Message = dict[str, Any]
#: Above what the providers of today take for an image.
_IMAGE_TOKENS = 2_000
_FRAME_TOKENS = 4
#: No text has so few tokens that a block above this many bytes would have to be counted.
_MOST_BYTES_A_TOKEN = 64


@dataclass(frozen=True)
class Block:
    """Messages that stay or go together: one, or calls of functions with their outputs."""

    start: int
    end: int
    role: str
    calls: bool


def blocks_of(messages: Sequence[Message]) -> list[Block]:
    """The blocks of a conversation, in its order."""
    blocks: list[Block] = []
    for position, message in enumerate(messages):
        if message["role"] == "tool" and blocks and blocks[-1].calls:
            blocks[-1] = Block(blocks[-1].start, position + 1, "assistant", True)
        else:
            blocks.append(Block(position, position + 1, message["role"], bool(message.get("tool_calls"))))
    return blocks


def newest_turn(messages: Sequence[Message], *, before: int) -> int:
    """Where the newest turn begins: at the last user message of the input, or with it where it has none."""
    users = [position for position in range(before, len(messages)) if messages[position]["role"] == "user"]
    return users[-1] if users else before


def tokens_of(message: Message, count: Callable[[str], int]) -> int:
    """A message's tokens, estimated by `count`."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    tokens = sum(count(part["text"]) if part["type"] == "text" else _IMAGE_TOKENS for part in parts)
    calls = sum(count(str(call["function"])) for call in message.get("tool_calls") or ())
    return tokens + calls + _FRAME_TOKENS


def left_out(messages: Sequence[Message], *, keep_from: int, room: int, count: Callable[[str], int]) -> int | None:
    """How many of the oldest blocks must be left out for the rest to fit into `room` tokens; None: it never does.

    Args:
        keep_from: the place from which every message stays.
    """
    if sum(_size(message) for message in messages) <= room:
        return 0  # a token has a byte at least
    loose = _loose(messages, keep_from)
    places = {place for block in loose for place in range(block.start, block.end)}
    left = room - sum(tokens_of(message, count) for place, message in enumerate(messages) if place not in places)
    if left < 0:
        return None
    leaving = len(loose) - _fitting(messages, loose, left, count)
    # Templates of many models want a user's message first: an answer without its question goes too.
    while 0 < leaving < len(loose) and loose[leaving].role == "assistant" and not loose[leaving].calls:
        leaving += 1
    return leaving


def _fitting(messages: Sequence[Message], loose: Sequence[Block], room: int, count: Callable[[str], int]) -> int:
    """How many of the newest blocks fit. Those before the first that does not are not even counted."""
    for kept, block in enumerate(reversed(loose)):
        block_messages = messages[block.start : block.end]
        if sum(_size(message) for message in block_messages) > room * _MOST_BYTES_A_TOKEN:
            return kept
        room -= sum(tokens_of(message, count) for message in block_messages)
        if room < 0:
            return kept
    return len(loose)


def without_oldest(messages: Sequence[Message], *, keep_from: int, dropped: int) -> list[Message]:
    """The messages less the `dropped` oldest blocks, as `left_out` counted them."""
    gone = {place for block in _loose(messages, keep_from)[:dropped] for place in range(block.start, block.end)}
    return [message for place, message in enumerate(messages) if place not in gone]


def _loose(messages: Sequence[Message], keep_from: int) -> list[Block]:
    """The blocks that may be left out, oldest first."""
    return [
        block for block in blocks_of(messages) if block.end <= keep_from and block.role not in ("system", "developer")
    ]


def _size(message: Message) -> int:
    """An upper bound of a message's tokens: its bytes."""
    content = message.get("content")
    parts = content if isinstance(content, list) else [{"type": "text", "text": content or ""}]
    size = sum(len(part["text"].encode()) if part["type"] == "text" else _IMAGE_TOKENS for part in parts)
    return size + len(str(message.get("tool_calls") or "").encode()) + 2 * _FRAME_TOKENS
