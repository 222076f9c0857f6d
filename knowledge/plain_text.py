"""A passage as people read it: without the marks of the Markdown that documents are kept as.

For the eye alone. What is searched, cited and given to a model is the text as it is kept, whose offsets places mean.
"""

import re

#: The line below the head of a table, and a row of one.
_BELOW_HEAD = re.compile(r"^[ \t]*\|(?=[^\n]*---)[ \t:|-]+(?:\n|\Z)", re.M)
_ROW = re.compile(r"^[ \t]*\|(.*)\|[ \t]*$", re.M)
# Each looks a bounded way ahead, so that no text takes long.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^[ \t]{0,3}#{1,6}[ \t]+", re.M), ""),
    (re.compile(r"^[ \t]{0,3}>[ \t]?", re.M), ""),
    (re.compile(r"^([ \t]{0,20})[-*+][ \t]+", re.M), r"\1• "),
    (re.compile(r"!?\[([^\[\]\n]{0,300})\]\([^()\s]{0,2000}(?:[ \t]\"[^\"\n]{0,300}\")?\)"), r"\1"),
    (re.compile(r"\*\*(?=\S)([^\n]{1,300}?)(?<=[^\s\\])\*\*"), r"\1"),
    (re.compile(r"(?<![\w*\\])\*(?=\S)([^*\n]{1,300}?)(?<=[^\s\\])\*(?![\w*])"), r"\1"),
    (re.compile(r"(?<!`)`([^`\n]{1,300})`(?!`)"), r"\1"),
    (re.compile(r"\\([\\`*_{}\[\]()#+\-.!|>~])"), r"\1"),
)


def as_read(text: str) -> str:
    """`text` without headings' and lists' signs, emphasis, links' addresses and the lines of tables."""
    text = _ROW.sub(lambda row: " · ".join(cell.strip() for cell in row[1].split("|")), _BELOW_HEAD.sub("", text))
    for rule, instead in _RULES:
        text = rule.sub(instead, text)
    return text
