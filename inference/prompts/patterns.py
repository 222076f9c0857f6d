"""Regular expressions that tenants write: a plain dialect, bounded in size when compiled and in time when matched.

Rust's engine says what is a pattern (no look-around, no backreferences, ten megabytes at most); `regex` matches, because
it can be given a time to stop. Groups that repeat groups are bounded too: they are what takes memory to compile.
"""

import re
from functools import lru_cache
from math import prod

import regex
from pydantic_core import SchemaError, SchemaValidator, core_schema

MAX_PATTERN_LENGTH = 200
#: Seconds that a value may take.
_PATIENCE = 0.1
_MOST_REPEATED = 1000
_COUNTED_GROUP = re.compile(r"\)\{(\d+)(?:,(\d*))?\}")
#: Flags that would let white space and comments stand between a group and its count.
_VERBOSE = re.compile(r"\(\?[a-zA-Z^-]*x")


class InvalidPattern(ValueError):
    """No pattern of this dialect; the message says why."""


class TooSlow(ValueError):
    """The value took the pattern too long."""


def check_pattern(pattern: str) -> None:
    """Nothing for a pattern that can be used.

    Raises:
        InvalidPattern: otherwise.
    """
    if _VERBOSE.search(pattern):
        raise InvalidPattern("the flag 'x' is not supported")
    counts = [int(found[2] or found[1]) for found in _COUNTED_GROUP.finditer(pattern)]
    if prod(max(count, 1) for count in counts) > _MOST_REPEATED:
        raise InvalidPattern(f"its groups repeat more than {_MOST_REPEATED} times")
    try:
        SchemaValidator(core_schema.str_schema(pattern=pattern))
        _compiled(pattern)
    except SchemaError as error:
        raise InvalidPattern(re.split(r"[eE]rror: ", str(error))[-1].strip()) from error
    except (regex.error, OverflowError, RecursionError) as error:
        raise InvalidPattern(str(error)) from error


def matches(pattern: str, value: str) -> bool:
    """Whether all of `value` is what `pattern` describes.

    Raises:
        TooSlow: that could not be told in a tenth of a second.
    """
    try:
        return _compiled(pattern).fullmatch(value, timeout=_PATIENCE, concurrent=True) is not None
    except TimeoutError as error:
        raise TooSlow from error


@lru_cache(maxsize=256)
def _compiled(pattern: str) -> "regex.Pattern[str]":
    return regex.compile(pattern)
