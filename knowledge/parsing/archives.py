"""Zip files: refused where they are bombs, before anything is unpacked."""

import io
import struct
import zipfile
import zlib
from collections.abc import Iterator

from . import failures

MAX_MEMBERS = 10_000
MAX_COMPRESSION_RATIO = 100  # real Office files stay below 30; OOXML bombs start near 1000
RATIO_MATTERS_FROM = 8 * 2**20  # a small repetitive sheet may well compress 200:1 and harm nobody

_ENCRYPTED_FLAG = 0x1
_LOCAL_HEADER = struct.Struct("<4s5H3I2H")
_DAMAGE = (zipfile.BadZipFile, ValueError, NotImplementedError, EOFError, zlib.error, OSError)


def names(data: bytes) -> set[str]:
    """The names of all members."""
    with _opened(data) as archive:
        return set(archive.namelist())


def beginning(data: bytes, name: str, size: int) -> bytes:
    """The first `size` bytes of the member `name`."""
    try:
        with _opened(data) as archive, archive.open(name) as member:
            return member.read(size)
    except (KeyError, RuntimeError, *_DAMAGE) as error:
        raise failures.corrupt() from error


def check(data: bytes, *, max_unpacked_bytes: int) -> int:
    """How many bytes the zip `data` unpacks to, by declared and actual sizes.

    Raises UnreadableFile if it is encrypted, damaged or a bomb.
    """
    with _opened(data) as archive:
        members = archive.infolist()
    if any(member.flag_bits & _ENCRYPTED_FLAG for member in members):
        raise failures.encrypted()
    unpacked = sum(member.file_size for member in members)
    if len(members) > MAX_MEMBERS or _is_bomb(unpacked, len(data), max_unpacked_bytes):
        raise failures.bomb()
    # A bomb may understate its sizes, and overlapping members inflate the same bytes many times over.
    left = max_unpacked_bytes
    for member in members:
        left -= _actual_size(data, member, left)
        if left < 0:
            raise failures.bomb()
    return max_unpacked_bytes - left


def documents(data: bytes) -> Iterator[tuple[str, bytes | None]]:
    """(name, bytes) of each member that is a file somebody put there; None where it is damaged."""
    with _opened(data) as archive:
        for member in archive.infolist():
            if not member.is_dir() and not _is_litter(member.filename):
                yield member.filename, _unpacked(archive, member)


def _is_litter(name: str) -> bool:
    """What file managers add to archives."""
    return name.startswith("__MACOSX/") or name.rsplit("/", 1)[-1] in (".DS_Store", "Thumbs.db", "desktop.ini")


def _unpacked(archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> bytes | None:
    try:
        return archive.read(member)
    except (RuntimeError, *_DAMAGE):
        return None


def _opened(data: bytes) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(io.BytesIO(data))
    except _DAMAGE as error:
        raise failures.corrupt() from error


def _is_bomb(unpacked: int, packed: int, max_unpacked_bytes: int) -> bool:
    suspicious = unpacked > RATIO_MATTERS_FROM and unpacked > MAX_COMPRESSION_RATIO * packed
    return suspicious or unpacked > max_unpacked_bytes


def _actual_size(data: bytes, member: zipfile.ZipInfo, limit: int) -> int:
    """Bytes that `member` inflates to, counted no further than just beyond `limit`."""
    if member.compress_type != zipfile.ZIP_DEFLATED:
        return member.file_size
    header = data[member.header_offset : member.header_offset + _LOCAL_HEADER.size]
    if len(header) < _LOCAL_HEADER.size:
        raise failures.corrupt()
    name_length, extra_length = _LOCAL_HEADER.unpack(header)[-2:]
    start = member.header_offset + _LOCAL_HEADER.size + name_length + extra_length
    return _inflated_size(memoryview(data)[start:], limit)


def _inflated_size(packed: memoryview, limit: int) -> int:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    size, offset, step = 0, 0, 64 * 1024
    try:
        while not inflater.eof and size <= limit:
            waiting = inflater.unconsumed_tail
            if not waiting:
                waiting = bytes(packed[offset : offset + step])
                offset += step
            if not waiting:
                break
            size += len(inflater.decompress(waiting, 2**20))
    except zlib.error as error:
        raise failures.corrupt() from error
    return size
