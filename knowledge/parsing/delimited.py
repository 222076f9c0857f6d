"""CSV and TSV as rows that name their columns; in a step only (see `steps`)."""

import csv
import io
from collections import Counter

from . import failures
from .content import escaped
from .tables import joined_within, spelled

_DELIMITERS = ",;\t|"
_SAMPLE_CHARACTERS = 65_536
_SAMPLE_ROWS = 50


def spell(text: str, *, max_characters: int) -> str:
    """A line for each row. Raises UnreadableFile where that is more than `max_characters`."""
    csv.field_size_limit(max_characters)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter(text))
    try:
        return joined_within(map(escaped, spelled(rows)), max_characters)
    except csv.Error as error:
        raise failures.corrupt() from error


def delimiter(text: str) -> str:
    """The one that cuts most of the first rows into the same number of columns, at least two."""
    sample = text[:_SAMPLE_CHARACTERS]
    return max(_DELIMITERS, key=lambda candidate: _agreement(sample, candidate))


def _agreement(sample: str, candidate: str) -> tuple[float, int]:
    rows: list[list[str]] = []
    try:
        for row in csv.reader(io.StringIO(sample, newline=""), delimiter=candidate):
            rows.append(row)
            if len(rows) == _SAMPLE_ROWS:
                break
    except csv.Error:
        return (0.0, 0)
    widths = Counter(len(row) for row in rows if row)
    if not widths:
        return (0.0, 0)
    width, times = widths.most_common(1)[0]
    return (times / len(rows), width) if width > 1 else (0.0, width)
