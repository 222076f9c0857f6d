"""What people see of a passage that is kept as Markdown."""

import time

import pytest

from knowledge.plain_text import as_read


@pytest.mark.parametrize(
    ("kept", "read"),
    [
        ("## The mount\nIt is *made* of **stainless steel**.", "The mount\nIt is made of stainless steel."),
        ("- one\n  * two\n+ three", "• one\n  • two\n• three"),
        ("See [the terms](https://x.example/a \"Terms\") and [1].", "See the terms and [1]."),
        ("| Berth | Price |\n|---|---:|\n| A1 | 10 |\n", "Berth · Price\nA1 · 10\n"),
        ("Run `make demo`, not \\*this\\*.", "Run make demo, not *this*."),
        ("> said once", "said once"),
        ("2 * 3 * 4, a_b_c, __init__, C#, -5, --- and #7", "2 * 3 * 4, a_b_c, __init__, C#, -5, --- and #7"),
        ("<script>alert(1)</script>", "<script>alert(1)</script>"),
        ("", ""),
    ],
)  # fmt: skip
def test_marks_go_and_words_stay(kept: str, read: str) -> None:
    assert as_read(kept) == read


@pytest.mark.parametrize("hostile", ["[", "**a ", "*a ", "`", "|-", "![](", "# ", "- ", "> ", "\\"])
def test_no_text_takes_long(hostile: str) -> None:
    started = time.process_time()
    as_read(hostile * 5_000)
    assert time.process_time() - started < 2
