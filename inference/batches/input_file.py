"""A batch's input file, read part by part: it may be large, and lie in S3."""

from collections.abc import Iterator

from knowledge import storage
from knowledge.files import get_file
from tenants.errors import NotFound

from ..models import Batch
from .lines import RawLine, cut


class InputGone(Exception):
    """The input file was deleted while the batch needed it."""


class InputFile:
    """The file of `batch`, from the byte `start` on.

    Raises:
        InputGone: there is none any more.
    """

    def __init__(self, batch: Batch, *, start: int = 0) -> None:
        try:
            self._stored_id = get_file(file_id=batch.input_file_id).stored_id
        except NotFound as error:
            raise InputGone from error
        self._size, self._position = batch.input_bytes, start

    def read(self, length: int) -> bytes:
        """The next bytes, at most `length`; empty at the end.

        Raises:
            InputGone: they are not there any more.
            StorageUnavailable: try again.
        """
        length = min(length, self._size - self._position)
        if length <= 0:
            return b""
        try:
            data = storage.read_part(self._stored_id, start=self._position, length=length)
        except storage.ContentMissing as error:
            raise InputGone from error
        self._position += len(data)
        return data


def unread_lines(batch: Batch) -> Iterator[RawLine]:
    """The lines that have no row yet; raises as `InputFile` does."""
    if batch.next_byte < batch.input_bytes:
        yield from cut(InputFile(batch, start=batch.next_byte).read, number=batch.next_line, start=batch.next_byte)
