"""Every code that a call can answer stands in the taxonomy and in the docs, once, with the status it is answered with."""

import ast
from pathlib import Path

import pytest

import inference
from inference import taxonomy
from inference.providers.base import ProviderError
from inference.taxonomy import KINDS, Category, kind_of
from tenants.errors import AtriumError, InvalidRequest

ROOT = Path(inference.__file__).parent
#: Of the REST endpoints that manage things; no call of a model ends so.
NOT_OF_CALLS = {"variant_state", "alias_taken", "deployment_name_taken", "variant_name_taken", "in_use"} | {
    "answer_not_ended", "invalid_prompt_template", "prompt_in_use", "prompt_name_taken", "prompt_too_large",
    "contents_gone",  # of the playground
    "server_error",  # of OpenAI's response objects
}  # fmt: skip


def literals(source: str) -> set[str]:
    """The `code="…"` arguments and `code = "…"` members of a module."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if (isinstance(node, ast.keyword) and node.arg == "code") or (
            isinstance(node, ast.Assign) and [getattr(target, "id", "") for target in node.targets] == ["code"]
        ):
            found |= constants(node.value)
    return found


def constants(value: ast.expr) -> set[str]:
    """The texts that an expression may be, but not those that it looks something up by."""
    looked_up = {
        part
        for node in ast.walk(value)
        if isinstance(node, ast.Subscript | ast.Call) and getattr(getattr(node, "func", node), "id", "") != "str"
        for part in ast.walk(node)
    }
    texts = [node for node in ast.walk(value) if isinstance(node, ast.Constant) and node not in looked_up]
    return {node.value for node in texts if isinstance(node.value, str) and node.value}


def subclasses(cls: type[AtriumError]) -> set[type[AtriumError]]:
    return {cls} | {below for child in cls.__subclasses__() for below in subclasses(child)}


def test_every_code_of_inference_is_in_the_table() -> None:
    found = {
        code for file in ROOT.rglob("*.py") for code in literals(file.read_text()) if "migrations" not in file.parts
    }
    assert len(found) > 15
    assert found - KINDS.keys() - NOT_OF_CALLS == set()


def test_the_table_has_the_status_that_is_answered() -> None:
    for cls in subclasses(AtriumError):
        if cls.__module__.startswith(("inference.", "billing.", "tenants.")) and cls.code in KINDS:
            assert KINDS[cls.code].status == cls.status, cls


def test_the_docs_are_the_table() -> None:
    assert (ROOT / "ERRORS.md").read_text() == taxonomy.as_markdown()


@pytest.mark.parametrize(
    ("error", "code", "category", "faulty"),
    [
        (ProviderError("x", code="upstream_timeout", status=504), "upstream_timeout", Category.TIMEOUT, True),
        (ProviderError("x", code="bad", status=400, temporary=False), "bad", Category.CLIENT, False),
        (ProviderError("x", code="odd"), "odd", Category.UPSTREAM, True),
        (InvalidRequest("x"), "invalid_value", Category.CLIENT, False),
        (ZeroDivisionError(), "internal_error", Category.PLATFORM, False),
    ],
)
def test_every_exception_has_a_kind(error: Exception, code: str, category: Category, faulty: bool) -> None:
    kind = kind_of(error)
    assert (kind.code, kind.category, kind.faulty) == (code, category, faulty)
