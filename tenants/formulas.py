"""What a spreadsheet would run, kept from running: for every file of cells that leaves the house."""

#: What a text begins with that a spreadsheet would take for a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def neutralised(text: str) -> str:
    """`text`, with an apostrophe in front where a spreadsheet would take it for a formula (OWASP, CSV injection)."""
    return f"'{text}" if text.startswith(FORMULA) else text
