"""Finding files by what they are called, without reading every name.

The beginning of a name is looked up in an index, whatever the number of files. Where few begin as was typed, it is also
looked for elsewhere in the names of the newest, which is all of them but for the largest tenants.
"""

from typing import Any

from django.db.models import QuerySet, Value
from django.db.models.functions import Concat, Lower

#: Among so many of the newest rows any part of a name is looked for.
NEWEST = 10_000
#: Rows that are looked up before the list is read; where more begin as was typed, a page of them is near.
MOST_FOUND = 1_000
#: What a search box says of it.
SEARCH_HELP = f"Part of a file's name (beyond the newest {NEWEST:,} its beginning)"
_AFTER_ALL = Value("\U0010ffff")


def named(rows: QuerySet[Any], words: str, *, file: str = "", key: str = "pk") -> QuerySet[Any]:
    """Those of `rows` whose file's name begins with `words`; where few do, also the newest that contain them; in a scope.

    Few are looked up first: the planner, left to choose, walks through all rows for a name that hardly any has.

    Args:
        file: the lookup that leads to the file, such as `file__`; empty where the rows are files.
        key: what stands in the order of time, under an index with all that `rows` is narrowed by.
    """
    name, typed = f"{file}filename_lower", Lower(Value(words))
    beginning = rows.filter(**{f"{name}__gte": typed, f"{name}__lt": Concat(typed, _AFTER_ALL)})
    few = _keys(beginning)
    if len(few) == MOST_FOUND:
        return beginning
    return rows.filter(pk__in={*few, *_keys(_newest(rows, key).filter(**{f"{name}__contains": typed}))})


def _keys(rows: QuerySet[Any]) -> list[Any]:
    return list(rows.values_list("pk", flat=True)[:MOST_FOUND])


def _newest(rows: QuerySet[Any], key: str) -> QuerySet[Any]:
    newest = rows.order_by(f"-{key}")
    oldest = newest.values_list(key, flat=True)[NEWEST : NEWEST + 1].first()
    return newest if oldest is None else newest.filter(**{f"{key}__gt": oldest})
