"""Downloads: bytes that leave as they are read, and that no browser opens as what they claim to be."""

from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.files import File
from django.http import FileResponse


class Download(FileResponse):
    """A file to keep under `filename`.

    Never with the type that an upload claims unless the caller vouches for it: a browser that opened an uploaded page
    would run it on this origin. Django's own would read a file to its end before the first byte left, under ASGI.
    """

    block_size = 256 * 1024

    def __init__(
        self, content: File, *, filename: str, content_type: str = "application/octet-stream", **kwargs: Any
    ) -> None:
        super().__init__(content, as_attachment=True, filename=filename, content_type=content_type, **kwargs)
        self["X-Content-Type-Options"] = "nosniff"
        self["Cache-Control"] = "private, no-store"

    def __aiter__(self) -> AsyncIterator[bytes]:
        return in_threads(iter(self))


async def in_threads(parts: Iterator[bytes]) -> AsyncIterator[bytes]:
    """The same parts on an event loop, each read in a thread when it is wanted."""
    following = sync_to_async(lambda: next(parts, None), thread_sensitive=False)
    while (part := await following()) is not None:
        yield part
