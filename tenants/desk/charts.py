"""Charts as the desk shows them: a table of figures, which the browser draws and everybody else reads.

The template `desk/chart.html` writes the table; `desk/charts.js` draws what stands in it, so the two cannot differ.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Series:
    """One line or colour: the number (None: a gap) and what people read, for each row."""

    name: str
    values: Sequence[float | None]
    texts: Sequence[str]
    colour: str = "1"


@dataclass(frozen=True)
class Chart:
    """Rows with a label each (hours, days), and the series over them; `kind`: "bar" or "line"."""

    title: str
    labels: Sequence[str]
    series: Sequence[Series]
    kind: str = "bar"
    of: str = "Time (UTC)"

    @property
    def rows(self) -> Iterator[tuple[str, list[tuple[float | None, str]]]]:
        """The table's rows: label, and number and text of each series."""
        for number, label in enumerate(self.labels):
            yield label, [(one.values[number], one.texts[number]) for one in self.series]

    @property
    def empty(self) -> bool:
        """Whether there is nothing to draw."""
        return not any(value for one in self.series for value in one.values)
