"""What a column of a file is: an expression of SQL and a type, and how that stands in CSV, XLSX and Parquet."""

from dataclasses import dataclass
from enum import Enum
from typing import Any

from psycopg import sql

from .cells import FORMULA

#: The first characters that make a cell a formula to a spreadsheet, by number, which is compared fastest.
_FORMULA = ", ".join(str(ord(character)) for character in FORMULA)


class Type(Enum):
    """What the cells hold."""

    #: Whatever people and programs wrote: neutralised where a spreadsheet reads it.
    TEXT = "text"
    #: What we wrote ourselves, which never looks like a formula.
    CODE = "code"
    COUNT = "count"
    DECIMAL = "decimal"
    TIME = "time"
    DAY = "day"
    FLAG = "flag"


@dataclass(frozen=True)
class Column:
    """`value` is trusted, but for what was escaped into it. `scale`: digits after the point of a decimal in Parquet."""

    name: str
    value: sql.Composable
    type: Type
    scale: int = 12

    def as_text(self, *, neutral: bool) -> sql.Composable:
        """The expression as COPY shall write it: RFC 3339 times, no exponents, no trailing zeros."""
        match self.type:
            case Type.TEXT if neutral:
                template = f"CASE WHEN ascii({{0}}) IN ({_FORMULA}) THEN '''' || ({{0}}) ELSE {{0}} END"
            case Type.DECIMAL:
                template = "trim_scale({0})"
            case Type.TIME:
                template = """to_char({0}, 'YYYY-MM-DD"T"HH24:MI:SS"Z"')"""
            case Type.FLAG:
                template = "CASE WHEN {0} THEN 'true' ELSE 'false' END"
            case _:
                template = "{0}"
        return sql.SQL(template).format(self.value)


def column(name: str, expression: str, type: Type = Type.CODE, /, *, scale: int = 12, **parts: Any) -> Column:
    """A column of trusted SQL; `parts` are composed into its `{…}`."""
    return Column(name, sql.SQL(expression).format(**parts), type, scale)
