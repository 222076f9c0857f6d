"""Rows that name their columns: where the header is, what is not a table, and CSV of all kinds."""

import pytest

from knowledge.parsing.delimited import delimiter, spell
from knowledge.parsing.documents import UnreadableFile
from knowledge.parsing.tables import spell_tables, spelled


def lines(*rows: str) -> list[str]:
    """Spelled rows of cells apart by commas."""
    return list(spelled(row.split(",") for row in rows))


def test_each_value_is_named_by_its_column() -> None:
    assert lines("ship,berth", "Anna,4", "Juliana,7") == ["ship: Anna; berth: 4", "ship: Juliana; berth: 7"]


def test_a_title_above_the_header_stays_above() -> None:
    assert lines("Fees 2026", "", "ship,berth,fee", "Anna,4,18.50") == ["Fees 2026", "ship: Anna; berth: 4; fee: 18.50"]


def test_numbers_have_no_header() -> None:
    assert lines("1,2", "3,4") == ["1 | 2", "3 | 4"]


def test_a_first_row_that_repeats_itself_is_no_header() -> None:
    assert lines("yes,yes", "no,yes") == ["yes | yes", "no | yes"]


def test_words_below_a_row_of_data_are_data() -> None:
    assert lines("4,18.50", "ship,berth") == ["4 | 18.50", "ship | berth"]


def test_a_header_alone_is_said() -> None:
    assert lines("ship,berth") == ["ship | berth"]


def test_cells_beyond_the_header_and_empty_ones() -> None:
    assert lines("ship,berth", "Anna,,late", ",7") == ["ship: Anna; late", "berth: 7"]


def test_white_space_in_cells_is_one_blank() -> None:
    assert list(spelled([["a", "b"], ["x\n y", " 1 "]])) == ["a: x y; b: 1"]


def test_tables_of_markdown_are_spelled_and_the_rest_is_not_touched() -> None:
    code = "```\n| x | y |\n| - | - |\n| 1 | 2 |\n```"
    table = "| Ship | Fee |\n| --- | ---: |\n| A\\|B | 4<br>5 |"
    assert spell_tables(f"# Fees\n\n{table}\n\na | b\n\n{code}") == (
        f"# Fees\n\nShip: A|B; Fee: 4 5\n\na | b\n\n{code}"
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a,b\n1,2\n", ","),
        ("a;b\n1,5;2,5\n1,7;2,8\n", ";"),
        ("a\tb\n1,5\t2\n", "\t"),
        ("a|b\n1|2\n", "|"),
        ('a,b\n"x;y;z",2\n"u;v;w",3\n', ","),
    ],
)
def test_the_delimiter_is_the_one_that_cuts_rows_alike(text: str, expected: str) -> None:
    assert delimiter(text) == expected


def test_quoted_cells_of_several_lines() -> None:
    assert spell('ship,note\r\nAnna,"two\r\nlines, ""quoted"""\r\n', max_characters=100) == (
        'ship: Anna; note: two lines, "quoted"'
    )


def test_one_column_is_lines() -> None:
    assert spell("ship\nAnna\nJuliana\n", max_characters=100) == "ship\nAnna\nJuliana"


def test_rows_beyond_the_limit_are_refused_and_not_cut() -> None:
    with pytest.raises(UnreadableFile, match="more than 50 characters"):
        spell("ship,berth\n" + "Anna,4\n" * 10, max_characters=50)
