"""Attributes and groups as a form writes them."""

from typing import Any

import pytest
from django.forms import ValidationError
from hypothesis import given
from hypothesis import strategies as st

from knowledge.admin.described import NOBODY, AttributesField, GroupsField

TEXTS = st.text(max_size=12)
VALUES = TEXTS | st.integers(-(2**63) + 1, 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False) | st.booleans()


@given(st.dictionaries(TEXTS.filter(bool), VALUES, max_size=4))
def test_every_attribute_survives_the_form(attributes: dict[str, Any]) -> None:
    field = AttributesField(required=False)
    read = field.to_python(field.prepare_value(attributes))
    assert read == attributes and [type(item) for item in read.values()] == [type(i) for i in attributes.values()]


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("year = 2026", {"year": 2026}), ("draft=true", {"draft": True}), ("id = 007", {"id": "007"}),
        ('id = "7"', {"id": "7"}), ("site = Ulm = HQ", {"site": "Ulm = HQ"}), ("note =", {"note": ""}),
        ("x = NaN", {"x": "NaN"}), ("x = [1]", {"x": "[1]"}), ("x = null", {"x": "null"}), ("", {}),
    ],
)  # fmt: skip
def test_a_line_is_read_as_it_looks(line: str, found: dict[str, Any]) -> None:
    assert AttributesField(required=False).to_python(line) == found


@pytest.mark.parametrize("text", ["no sign", "= 3", '"open = 3', "a = 1\na = 2", '"a" b = 3'])
def test_what_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        AttributesField(required=False).to_python(text)


@pytest.mark.parametrize("groups", [None, [], ["board"], ["Sales, EMEA", "board"]])
def test_groups_survive_the_form(groups: list[str] | None) -> None:
    field = GroupsField(required=False)
    assert field.to_python(field.prepare_value(groups)) == groups
    assert field.prepare_value([]) == NOBODY
