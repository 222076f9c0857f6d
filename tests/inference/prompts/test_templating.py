"""Templates say what they say, and nothing that a value says is a template."""

import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.prompts.templating import InvalidTemplate, Placeholder, compile_template, escape

#: Mostly what could go wrong: braces, backslashes, names.
braces = st.lists(st.sampled_from(["{", "{{", "}", "}}", "\\", "name", " ", "é", "\n"]), max_size=14).map("".join)


def rendered(text: str, **values: str) -> str:
    return "".join(compile_template(text, param="p").fill(values))


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("Dear {{name}},", "Dear VALUE,"),
        ("{{name}}{{ name }}{{\tname}}", "VALUEVALUEVALUE"),
        (r"\{{name}}", "{{name}}"),
        (r"\\{{name}}", r"\VALUE"),
        (r"\\\{{name}}", r"\{{name}}"),
        (r"a\b { \} }} {", r"a\b { \} }} {"),
        ('{"k": {{name}}}', '{"k": VALUE}'),
        ("{{{name}}}", "{VALUE}"),
        ("{{{{name}}}}", "{{VALUE}}"),
        (r"\{{{name}}", "{{{name}}"),
        ("", ""),
    ],
)
def test_placeholders_and_escapes(template: str, said: str) -> None:
    assert rendered(template, name="VALUE") == said


@pytest.mark.parametrize(
    "template", ["{{", "{{}}", "{{a b}}", "{{a.b}}", "{{1a}}", "{{name", "{{#if}}", "x {{{{ y", "{{\nname}}"]
)
def test_braces_that_open_nothing_are_refused(template: str) -> None:
    with pytest.raises(InvalidTemplate) as refused:
        compile_template(template, param="messages.0.content")
    assert refused.value.param == "messages.0.content" and "\\{{" in refused.value.message


@given(braces | st.text())
def test_what_is_escaped_says_itself(text: str) -> None:
    template = compile_template(escape(text), param="p")
    assert template.names == frozenset()
    assert "".join(template.fill({})) == text


_LAST = re.compile(r"(\\+)(\{?)\Z")


@example(before="", value="0", between="\\{", other="")
@given(before=braces | st.text(), value=braces | st.text(), between=braces | st.text(), other=braces | st.text())
def test_a_value_stands_where_it_was_put_whatever_it_and_its_neighbours_say(
    before: str, value: str, between: str, other: str
) -> None:
    # Backslashes before a placeholder are doubled to be meant; a brace there belongs to the run, whose last two open.
    left, middle = [_LAST.sub(r"\1\1\2", escape(text)) for text in (before, between)]
    template = compile_template(f"{left}{{{{a}}}}{middle}{{{{b}}}}", param="p")
    assert "".join(template.fill({"a": value, "b": other})) == before + value + between + other
    assert [piece.name for piece in template.pieces if isinstance(piece, Placeholder)] == ["a", "b"]
