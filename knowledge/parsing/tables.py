"""Rows of tables as text that names each value's column, so that a row found alone still says what it means.

`| Ship | Berth |`, `| Anna | 4 |` becomes "Ship: Anna; Berth: 4". The first row that looks like names of columns is
the header: at least two cells, all distinct words, none a number. Without one the cells are joined by " | ".
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain, islice

from . import failures

_HEADER_WITHIN = 10  # rows; a title or a date may stand above the header
_NUMBER = re.compile(r"[\s\d.,:;%€$£+\-−/()]+")
_DELIMITER_ROW = re.compile(r"\|(?:[ \t]*:?-+:?[ \t]*\|)+[ \t]*")
_CELL_END = re.compile(r"(?<!\\)\|")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_BREAK = re.compile(r"\s*<br\s*/?>\s*", re.IGNORECASE)


def spelled(rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """A line for each row that holds anything."""
    cells = ([" ".join(cell.split()) for cell in row] for row in rows)
    filled = (row for row in cells if any(row))
    above, header, first = _header(list(islice(filled, _HEADER_WITHIN)))
    yield from map(_joined, above)
    if header is None:
        yield from map(_joined, chain(first, filled))
        return
    any_row = False
    for row in chain(first, filled):
        any_row = True
        yield _named(header, row)
    if not any_row:
        yield _joined(header)


def _header(
    rows: list[list[str]],
) -> tuple[list[list[str]], list[str] | None, list[list[str]]]:
    """(rows above the header, the header, rows below it); no header: everything is below."""
    widest = max((sum(map(bool, row)) for row in rows), default=0)
    for index, row in enumerate(rows):
        names = [cell for cell in row if cell]
        is_wide = len(names) >= 2 and 2 * len(names) > widest
        if is_wide and len(set(names)) == len(names) and not any(_NUMBER.fullmatch(name) for name in names):
            return rows[:index], row, rows[index + 1 :]
        if is_wide:
            break  # the first row of data: whatever looks like a header below it is data too
    return [], None, rows


def _joined(row: Sequence[str]) -> str:
    return " | ".join(cell for cell in row if cell)


def _named(header: Sequence[str], row: Sequence[str]) -> str:
    names = chain(header, iter(lambda: "", None))
    return "; ".join(f"{name}: {cell}" if name else cell for name, cell in zip(names, row, strict=False) if cell)


def joined_within(lines: Iterable[str], max_characters: int) -> str:
    """The lines as one text. Raises UnreadableFile as soon as that is longer than `max_characters`."""
    kept: list[str] = []
    length = 0
    for line in lines:
        length += len(line) + 1
        if length > max_characters:
            raise failures.too_long(max_characters)
        kept.append(line)
    return "\n".join(kept)


def spell_tables(markdown: str) -> str:
    """`markdown` with every pipe table (GitHub's) outside fenced code spelled out."""
    if "|" not in markdown:
        return markdown
    return "\n".join(_spelled_lines(markdown.split("\n")))


def _spelled_lines(lines: Sequence[str]) -> Iterator[str]:
    index, fence = 0, ""
    while index < len(lines):
        line = lines[index]
        if mark := _FENCE.match(line):
            fence = "" if fence and mark[1].startswith(fence) else fence or mark[1]
        if fence or not _starts_table(lines, index):
            yield line
            index += 1
            continue
        end = index + 2
        while end < len(lines) and lines[end].startswith("|"):
            end += 1
        yield from spelled(map(_cells, (line, *lines[index + 2 : end])))
        index = end


def _starts_table(lines: Sequence[str], index: int) -> bool:
    is_row = lines[index].startswith("|") and index + 1 < len(lines)
    return is_row and _DELIMITER_ROW.fullmatch(lines[index + 1]) is not None


def _cells(line: str) -> list[str]:
    inner = line.strip().removeprefix("|").removesuffix("|")
    return [_BREAK.sub(" ", cell).replace("\\|", "|").strip() for cell in _CELL_END.split(inner)]
