"""Files and vector stores through the `openai` SDK on the running stack; every answer holds against the SDK's types."""

from collections.abc import Iterator
from typing import Any, TypeVar

import openai
import pytest
from openai import BaseModel

from tests.e2e.conftest import Atrium

pytestmark = pytest.mark.e2e

TEXT = b"The heron nests on the northern island and feeds on eels in the shallow lagoon."
T = TypeVar("T", bound=BaseModel)


@pytest.fixture(scope="module")
def sdk(atrium: Atrium) -> openai.OpenAI:
    return atrium.new_tenant().sdk()


def valid(answer: T) -> T:
    """The SDK builds its objects without looking; this looks: every member that its type demands, of the right type."""
    type(answer).model_validate(answer.to_dict(mode="python"))
    return answer


@pytest.fixture
def file(sdk: openai.OpenAI) -> Iterator[openai.types.FileObject]:
    made = sdk.files.create(file=("heron.txt", TEXT), purpose="assistants")
    yield made
    sdk.files.delete(made.id)


def test_a_file_comes_back_as_it_was_sent(sdk: openai.OpenAI, file: openai.types.FileObject) -> None:
    assert (file.bytes, file.filename, file.purpose, file.status) == (len(TEXT), "heron.txt", "assistants", "processed")
    assert valid(sdk.files.retrieve(file.id)) == valid(file)
    content = sdk.files.content(file.id)
    assert content.read() == TEXT
    assert content.response.headers["content-type"] == "application/octet-stream"
    assert "attachment" in content.response.headers["content-disposition"]


def test_files_are_listed_page_by_page_each_once(sdk: openai.OpenAI) -> None:
    made = [sdk.files.create(file=(f"{number}.jsonl", b"{}"), purpose="batch").id for number in range(5)]
    assert [valid(file).id for file in sdk.files.list(purpose="batch", limit=2, order="asc")] == made
    assert [file.id for file in sdk.files.list(purpose="batch", limit=2)] == made[::-1]
    first = sdk.files.list(purpose="batch", limit=2, order="asc")
    assert first.has_more and [file.id for file in first.data] == made[:2]
    for file_id in made:
        assert valid(sdk.files.delete(file_id)).deleted
    assert list(sdk.files.list(purpose="batch")) == []


def test_a_deleted_file_is_missing_everywhere(sdk: openai.OpenAI) -> None:
    file = sdk.files.create(file=("gone.txt", TEXT), purpose="assistants")
    store = sdk.vector_stores.create(file_ids=[file.id])
    sdk.vector_stores.files.poll(file.id, vector_store_id=store.id, poll_interval_ms=50)
    assert [hit.file_id for hit in sdk.vector_stores.search(store.id, query="heron")] == [file.id]
    sdk.files.delete(file.id)
    calls: list[Any] = [
        lambda: sdk.files.retrieve(file.id),
        lambda: sdk.files.content(file.id),
        lambda: sdk.files.delete(file.id),
        lambda: sdk.vector_stores.files.retrieve(file.id, vector_store_id=store.id),
        lambda: sdk.vector_stores.files.create(store.id, file_id=file.id),
    ]
    for call in calls:
        with pytest.raises(openai.NotFoundError):
            call()
    assert list(sdk.vector_stores.search(store.id, query="heron")) == []
    assert sdk.vector_stores.retrieve(store.id).file_counts.total == 0


def test_a_store_is_made_read_changed_listed_and_deleted(sdk: openai.OpenAI) -> None:
    store = valid(
        sdk.vector_stores.create(
            name="birds", metadata={"season": "spring"}, expires_after={"anchor": "last_active_at", "days": 2}
        )
    )
    assert (store.name, store.status, store.metadata, store.usage_bytes) == (
        "birds",
        "completed",
        {"season": "spring"},
        0,
    )
    assert store.expires_at == (store.last_active_at or 0) + 2 * 86_400
    assert valid(sdk.vector_stores.retrieve(store.id)) == store
    changed = valid(sdk.vector_stores.update(store.id, name="fish", metadata={"season": "autumn"}))
    assert (changed.name, changed.metadata, changed.expires_at) == ("fish", {"season": "autumn"}, store.expires_at)
    assert "fish" in [valid(listed).name for listed in sdk.vector_stores.list()]
    assert valid(sdk.vector_stores.delete(store.id)).deleted
    with pytest.raises(openai.NotFoundError):
        sdk.vector_stores.retrieve(store.id)


def test_the_sdks_own_upload_and_poll_ends_with_a_searchable_file(sdk: openai.OpenAI) -> None:
    store = sdk.vector_stores.create()
    done = valid(
        sdk.vector_stores.files.upload_and_poll(
            vector_store_id=store.id, file=("eel.md", b"# Eels\n\n" + TEXT), poll_interval_ms=50
        )
    )
    assert (done.status, done.last_error, done.vector_store_id) == ("completed", None, store.id)
    assert done.chunking_strategy is not None and done.chunking_strategy.type == "static"
    assert done.usage_bytes > len(TEXT)
    counts = valid(sdk.vector_stores.retrieve(store.id)).file_counts
    assert (counts.completed, counts.total) == (1, 1)
    [hit] = [valid(hit) for hit in sdk.vector_stores.search(store.id, query="What does the heron eat?")]
    assert (hit.filename, hit.attributes, 0 < hit.score <= 1) == ("eel.md", {}, True)
    pieces = [valid(piece) for piece in sdk.vector_stores.files.content(done.id, vector_store_id=store.id)]
    assert TEXT.decode() in "".join(piece.text or "" for piece in pieces)


@pytest.fixture(scope="module")
def yearbooks(sdk: openai.OpenAI) -> str:
    """A store of three files that differ in their attributes."""
    store = sdk.vector_stores.create()
    for year, place, draft in ((2023, "north", True), (2024, "south", False), (2025, "north", False)):
        file = sdk.files.create(file=(f"{year}.txt", TEXT + f" Seen in {year}.".encode()), purpose="assistants")
        attributes: dict[str, str | float | bool] = {"year": year, "place": place, "draft": draft}
        done = sdk.vector_stores.files.create_and_poll(
            file.id, vector_store_id=store.id, attributes=attributes, poll_interval_ms=50
        )
        assert valid(done).attributes == attributes
    return store.id


def compare(kind: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


def both(kind: str, *filters: dict[str, Any]) -> dict[str, Any]:
    return {"type": kind, "filters": list(filters)}


@pytest.mark.parametrize(
    ("wanted", "years"),
    [
        (compare("eq", "place", "north"), {"2023", "2025"}),
        (compare("ne", "place", "north"), {"2024"}),
        (compare("gt", "year", 2024), {"2025"}),
        (compare("gte", "year", 2024), {"2024", "2025"}),
        (compare("lt", "year", 2024), {"2023"}),
        (compare("lte", "year", 2024), {"2023", "2024"}),
        (compare("eq", "draft", False), {"2024", "2025"}),
        (compare("in", "year", [2023, 2025]), {"2023", "2025"}),
        (compare("nin", "place", ["south"]), {"2023", "2025"}),
        (both("and", compare("eq", "place", "north"), compare("eq", "draft", True)), {"2023"}),
        (both("or", compare("eq", "year", 2023), compare("eq", "place", "south")), {"2023", "2024"}),
        (compare("eq", "missing", "x"), set()),
    ],
)
def test_filters_choose_files_by_their_attributes(
    sdk: openai.OpenAI, yearbooks: str, wanted: Any, years: set[str]
) -> None:
    found = sdk.vector_stores.search(yearbooks, query="heron", filters=wanted)
    assert {valid(hit).filename.removesuffix(".txt") for hit in found} == years


def test_attributes_are_replaced_and_a_file_is_detached(sdk: openai.OpenAI, file: openai.types.FileObject) -> None:
    store = sdk.vector_stores.create()
    sdk.vector_stores.files.create_and_poll(file.id, vector_store_id=store.id, attributes={"a": 1}, poll_interval_ms=50)
    changed = sdk.vector_stores.files.update(file.id, vector_store_id=store.id, attributes={"b": "2"})
    assert valid(changed).attributes == {"b": "2"}
    assert [valid(kept).id for kept in sdk.vector_stores.files.list(store.id, filter="completed")] == [file.id]
    assert list(sdk.vector_stores.files.list(store.id, filter="failed")) == []
    assert valid(sdk.vector_stores.files.delete(file.id, vector_store_id=store.id)).deleted
    assert list(sdk.vector_stores.files.list(store.id)) == []
    assert sdk.files.retrieve(file.id).id == file.id


def test_a_chunking_strategy_is_kept_and_used(sdk: openai.OpenAI) -> None:
    text = (TEXT + b" ") * 40
    sizes: dict[str, Any] = {"max_chunk_size_tokens": 100, "chunk_overlap_tokens": 0}
    store = sdk.vector_stores.create()
    file = sdk.files.create(file=("long.txt", text), purpose="assistants")
    done = sdk.vector_stores.files.create_and_poll(
        file.id, vector_store_id=store.id, chunking_strategy={"type": "static", "static": sizes}, poll_interval_ms=50
    )
    assert valid(done).to_dict()["chunking_strategy"] == {"type": "static", "static": sizes}
    # Forty sentences of 16 to 20 word pieces in chunks of at most 100 are seven chunks at least.
    assert len(list(sdk.vector_stores.search(store.id, query="heron", max_num_results=50))) >= 7
    [content] = sdk.vector_stores.files.content(file.id, vector_store_id=store.id)
    assert content.text == text.decode().strip()
    with pytest.raises(openai.BadRequestError):
        sdk.vector_stores.files.create(
            store.id,
            file_id=file.id,
            chunking_strategy={"type": "static", "static": {"max_chunk_size_tokens": 99, "chunk_overlap_tokens": 0}},
        )


def test_models_are_the_sdks(sdk: openai.OpenAI) -> None:
    names = [valid(model).id for model in sdk.models.list()]
    assert names == ["all-MiniLM-L6-v2", "fake", "local-extractive"]
    assert valid(sdk.models.retrieve("fake")).owned_by
