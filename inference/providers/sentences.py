"""Markdown, as the parser writes it, taken apart into what can be quoted: sentences, list items, table rows.

A heading is no sentence and never part of one. A table row says its cells under the names of their columns. Markup is
taken off; so are numbers in square brackets, which in an answer would read as citations.
"""

import re
from collections.abc import Iterator

# Of a line without white space around it.
_FENCE = re.compile(r"```|~~~")
_HEADING = re.compile(r"#{1,6}\s")
_BOLD_LINE = re.compile(r"(?:\*\*|__)[^*_]*[^*_.!?](?:\*\*|__)\Z")
_RULE = re.compile(r"(?:[-*_=]\s*){3,}\Z")
_QUOTE = re.compile(r"(?:>\s*)+")
_ITEM = re.compile(r"(?:(?:[-*+]|\d{1,3}\\?[.)])\s+)+")
#: A PDF's bullets arrive within a line; \uf0b7 is the one of Word's symbol font.
_BULLET = re.compile(r"(?:^|\s)[•●▪◦‣\uf0b7\uf07f]\s+")
_TABLE_RULE = re.compile(r"\|?(?:\s*:?-+:?\s*\|)+\s*(?::?-+:?\s*)?\Z")

# Bounded, so that a hostile document cannot have them look for an end from each of its characters.
_LINK = re.compile(r"!?\[([^\]]{0,300})\]\([^)\s]{0,2000}(?:\s\"[^\"]{0,300}\")?\)")
_EMPHASIS = re.compile(r"(?<!\\)(\*{1,3}|(?<!\w)_{1,3}|`{1,3}|~~)(\S(?:.{0,150}?[^\s\\])?)\1(?!\w)")
_NESTED = 3
_ESCAPE = re.compile(r"\\([!-/:-@\[-`{-~])")
_BRACKETED_NUMBER = re.compile(r"\s?\[\d{1,3}\]")

#: An end mark, perhaps closing quotes, then what may begin a sentence: no lower-case letter.
_END = re.compile(r"(?<=[.!?])([\"'”’)\]]*)\s+(?=[\"'“‘(\[]?[^\W_a-z])")
_ABBREVIATION = re.compile(
    r"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|St|No|Nos|Fig|Figs|Eq|vs|cf|approx|e\.g|i\.e|Inc|Ltd|Co)|(?:^|\s)[A-Z])\.\Z"
)
_LONGEST_ABBREVIATION = 8


def sentences(text: str) -> Iterator[str]:
    """What `text` says, piece by piece, in its order."""
    paragraph: list[str] = []
    columns: list[str] | None = None
    lines = [line.strip() for line in text.splitlines()]
    fenced = False
    for position, line in enumerate(lines):
        quote = _QUOTE.match(line)
        line = line[quote.end() :] if quote else line
        row = line.startswith("|")
        if _FENCE.match(line):
            fenced = not fenced
        if not line or row or _is_apart(line) or _ITEM.match(line) or fenced:
            yield from _split(paragraph)
            paragraph = []
        if row:
            if _TABLE_RULE.match(line):
                continue
            if columns is None:
                columns = _cells(line) if position + 1 < len(lines) and _TABLE_RULE.match(lines[position + 1]) else []
                if columns:
                    continue
            yield _row(_cells(line), columns)
            continue
        columns = None
        if line and not _is_apart(line):
            item = _ITEM.match(line)
            paragraph.append(line[item.end() :] if item else line)
    yield from _split(paragraph)


def _is_apart(line: str) -> bool:
    """Whether a line structures the text and says nothing itself."""
    return any(pattern.match(line) for pattern in (_FENCE, _HEADING, _BOLD_LINE, _RULE))


def _cells(line: str) -> list[str]:
    return [plain(cell) for cell in re.split(r"(?<!\\)\|", line.strip("|"))]


def _row(cells: list[str], columns: list[str]) -> str:
    names = columns if len(columns) == len(cells) else [""] * len(cells)
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, cells, strict=True) if cell)


def _split(paragraph: list[str]) -> Iterator[str]:
    for text in _BULLET.split(plain(" ".join(paragraph))):
        start = 0
        for end in _END.finditer(text):
            if not _ABBREVIATION.search(text, max(start, end.start() - _LONGEST_ABBREVIATION), end.start()):
                yield text[start : end.start()] + end[1]
                start = end.end()
        if text[start:]:
            yield text[start:]


def plain(text: str) -> str:
    """`text` of one line without inline Markdown and without what would read as a citation."""
    text = _LINK.sub(r"\1", text)
    for _ in range(_NESTED):
        text = _EMPHASIS.sub(r"\2", text)
    text = _BRACKETED_NUMBER.sub("", _ESCAPE.sub(r"\1", text))
    return re.sub(r"\s+", " ", text).strip()
