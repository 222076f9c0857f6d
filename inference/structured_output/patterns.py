"""Regular expressions of schemas, by RE2: matched in time linear in the text, whoever wrote them.

RE2 knows neither look-around nor back-references; a schema that has them is refused. Escapes of JavaScript that RE2
writes otherwise are translated.
"""

import re
from typing import Any

import re2

MAX_LENGTH = 1_000
_MAX_BYTES = 1 << 20
_JAVASCRIPT_ESCAPE = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|u([0-9a-fA-F]{4})|(\\))")


class PatternRefused(Exception):
    """It is not a regular expression, or needs more than linear time."""


def compiled(pattern: str) -> Any:
    """An object with `search(text)`.

    Raises:
        PatternRefused: says why.
    """
    if len(pattern) > MAX_LENGTH:
        raise PatternRefused(f"a pattern has at most {MAX_LENGTH} characters")
    options = re2.Options()
    options.max_mem, options.log_errors = _MAX_BYTES, False
    try:
        return re2.compile(_JAVASCRIPT_ESCAPE.sub(_translated, pattern), options=options)
    except (re2.error, UnicodeEncodeError) as error:
        raise PatternRefused(f"RE2 does not take it: {_said(error)}") from error


def _translated(escape: re.Match[str]) -> str:
    """`\\u00e4` and `\\u{e4}` as RE2 writes them; an escaped backslash stays one."""
    return escape[0] if escape[3] else f"\\x{{{escape[1] or escape[2]}}}"


def _said(error: Exception) -> str:
    first = error.args[0] if error.args else ""
    return first.decode(errors="replace") if isinstance(first, bytes) else str(first)
