"""What a reader finds in a file or a part of one, and how it becomes one text with exact pages."""

import re
from dataclasses import dataclass, field
from typing import Any

from .documents import UnreadableFile

# Format characters that nobody sees and that tear words apart for a search: soft hyphen, zero-width space, word joiner,
# byte order mark, overrides of the reading direction, and the "tag" letters that hide sentences from a human reader.
# The zero-width joiners stay: Persian and emoji need them.
_INVISIBLE = re.compile("[\u00ad\u200b\u2060\ufeff\u202a-\u202e\u2066-\u2069\U000e0000-\U000e007f]")
_CONTROL = re.compile("[\x00-\x08\x0b\x0e-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")
_HEADING = re.compile(r"^( {0,3})(#{1,6})(?=[ \t]|$)", re.MULTILINE)
_DEEPEST_HEADING = 6


@dataclass
class Content:
    """`pages` are (number, text), with None as the number where the format has no pages.

    `failure` is why something is missing of which `warnings` tell; the last reason stands for all.
    """

    mime_type: str
    pages: list[tuple[int | None, str]]
    title: str | None = None
    ocr_pages: int = 0
    warnings: list[str] = field(default_factory=list)
    failure: UnreadableFile | None = None

    def text(self) -> str:
        """Everything, pages apart by an empty line."""
        return "\n\n".join(part for _, part in self.pages if part.strip())

    def is_empty(self) -> bool:
        return not any(part.strip() for _, part in self.pages)


def clean(text: str) -> str:
    """`text` with plain line ends, without what no reader sees and what a database refuses."""
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    text = _INVISIBLE.sub("", text)
    return _SURROGATE.sub("\ufffd", _CONTROL.sub(" ", text)).strip()


def assemble(content: Content) -> dict[str, Any]:
    """The answer to `parse`: one text, and (number, start, end) for each page that has a number."""
    parts: list[str] = []
    spans: list[tuple[int, int, int]] = []
    length = 0
    for number, raw in content.pages:
        text = clean(raw)
        start = length + 2 if parts and text else length
        if text:
            parts.append(text)
            length = start + len(text)
        if number is not None:
            spans.append((number, start, start + len(text)))
    return {
        "text": "\n\n".join(parts),
        "pages": spans,
        "title": " ".join(clean(content.title or "").split()) or None,
        "mime_type": content.mime_type,
        "ocr_pages": content.ocr_pages,
        "warnings": content.warnings,
    }


def escaped(text: str) -> str:
    """Plain text as Markdown in which no line is taken for a heading."""
    return _HEADING.sub(r"\1\\\2", text)


def demoted(markdown: str, levels: int) -> str:
    """The same with its headings `levels` deeper, to stand below another's heading."""
    return _HEADING.sub(lambda mark: mark[1] + "#" * min(_DEEPEST_HEADING, len(mark[2]) + levels), markdown)
