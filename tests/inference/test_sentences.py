"""Markdown taken apart: nothing is glued together, no markup is left, every piece can be quoted."""

import time

import pytest

from inference.providers.sentences import plain, sentences

DOCUMENT = """# Maintenance

## 7\\. Intervals

The gears are greased for life. What wears is the **seals**, and these
are replaced by the user.

**every 24 months**

| Part | Interval |
| :--- | ---: |
| Axis seals | 24 months |
| Fan \\| filter | |

- Replace the axis seals every 24 months,
  and every 12 months near the sea.
- Order part *FN-12*.
1. Switch the `power` off.
- 2\\. Wait [three minutes](http://intranet.example/minutes "why").

***

> Never open a gear yourself.
"""


def test_headings_are_left_out_and_rows_items_and_sentences_stand_apart() -> None:
    assert list(sentences(DOCUMENT)) == [
        "The gears are greased for life.",
        "What wears is the seals, and these are replaced by the user.",
        "Part: Axis seals; Interval: 24 months",
        "Part: Fan | filter",
        "Replace the axis seals every 24 months, and every 12 months near the sea.",
        "Order part FN-12.",
        "Switch the power off.",
        "Wait three minutes.",
        "Never open a gear yourself.",
    ]


def test_a_row_without_its_table_head_says_its_cells() -> None:
    # A passage may begin in the middle of a table.
    assert list(sentences("| Hawaii | 78 euros |\n| Chile | 55 euros |")) == ["Hawaii; 78 euros", "Chile; 55 euros"]


def test_a_second_table_has_its_own_columns() -> None:
    text = "| A | B |\n|---|---|\n| 1 | 2 |\n\nBetween.\n\n| C | D |\n|---|---|\n| 3 | 4 |"
    assert list(sentences(text)) == ["A: 1; B: 2", "Between.", "C: 3; D: 4"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Ask Dr. Abramov. She knows.", ["Ask Dr. Abramov.", "She knows."]),
        ("It weighs 19.4 kg. Lift it with care!", ["It weighs 19.4 kg.", "Lift it with care!"]),
        ("Use a filter, e.g. No. 7. Then wait.", ["Use a filter, e.g. No. 7.", "Then wait."]),
        ("Is it red? Call us.", ["Is it red?", "Call us."]),
        ('He said "Stop." Nobody did.', ['He said "Stop."', "Nobody did."]),
        ("Über alles. Élan vital. 12 apples.", ["Über alles.", "Élan vital.", "12 apples."]),
        (
            "Faults: • E11 is the supply. • E14 is the encoder.",
            ["Faults:", "E11 is the supply.", "E14 is the encoder."],
        ),
        ("no end mark", ["no end mark"]),
        ("", []),
    ],
)
def test_a_sentence_ends_where_a_reader_would_end_it(text: str, expected: list[str]) -> None:
    assert list(sentences(text)) == expected


@pytest.mark.parametrize(
    ("marked", "said"),
    [
        ("**bold** and *slanted* and __both__", "bold and slanted and both"),
        ("***all at once***", "all at once"),
        ("`code` and ~~gone~~", "code and gone"),
        ("![a plot](plot.png) of [data](http://x.example)", "a plot of data"),
        ("snake_case_name and 2 * 3 * 4", "snake_case_name and 2 * 3 * 4"),
        (r"1\. what \*this\* is", "1. what *this* is"),
        ("shown before [12] and again [3].", "shown before and again."),
        ("  many\t blanks  ", "many blanks"),
    ],
)
def test_inline_markup_is_taken_off(marked: str, said: str) -> None:
    assert plain(marked) == said


def test_code_fences_are_markup_and_their_lines_are_not_joined() -> None:
    assert list(sentences("Run this:\n```sh\nmake demo\nmake test\n```\nThen look.")) == [
        "Run this:",
        "make demo",
        "make test",
        "Then look.",
    ]


@pytest.mark.parametrize("part", ["*a", "[", "`a", "_a ", "| -", "Dr. A ", ".) ", "> ", "- ", "\t", "**a_", "- | "])
def test_hostile_text_takes_no_more_than_a_moment(part: str) -> None:
    # 24,000 bytes is all that passages may add to a prompt. Quadratic patterns took seconds, with the whole worker waiting.
    started = time.thread_time()
    list(sentences(part * (24_000 // len(part))))
    list(sentences("|" + part * (24_000 // len(part)) + "x"))
    assert time.thread_time() - started < 1
