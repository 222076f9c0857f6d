"""What can be told of a text's encoding for certain; the rest is xberg's guess (see `office.decode`)."""

import re

_SAMPLE_BYTES = 65_536
_DECLARED = re.compile(rb"<meta[^>]{0,200}charset\s*=\s*[\"']?\s*([\w:-]{2,40})", re.IGNORECASE)
_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def decoded(data: bytes) -> str | None:
    """The text by its byte order mark, as UTF-16 of mostly Western text, as UTF-8, or as what a web page says it is.

    None where none of it holds.
    """
    marked = next((name for mark, name in _MARKS.items() if data.startswith(mark)), None)
    declared = _DECLARED.search(data[:4096])
    for encoding in (marked or bare_utf16(data) or "utf-8", declared[1].decode() if declared else None):
        try:
            if encoding:
                return data.decode(encoding)
        except (UnicodeDecodeError, LookupError):
            continue
    return None


def has_mark(data: bytes) -> bool:
    return data.startswith(tuple(_MARKS))


def bare_utf16(data: bytes) -> str | None:
    """UTF-16 without its mark: every other byte of Western text is zero, and only those."""
    sample = data[:_SAMPLE_BYTES]
    even, odd = sample[0::2].count(0), sample[1::2].count(0)
    few, many = sorted((even, odd))
    if len(sample) < 8 or few * 1000 > len(sample) or many * 10 < len(sample) * 4:
        return None
    return "utf-16-be" if even > odd else "utf-16-le"
