"""Every kind of file from the upload to its page in an answer to a search, through the `openai` SDK on the running stack."""

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import openai
import pytest
from openai.types.vector_stores import VectorStoreFileBatch

from tests.documents import NAMES, read
from tests.documents.make import SCANS, TEXTS
from tests.e2e.conftest import Atrium
from tests.e2e.test_sdk_files import valid
from tests.knowledge import office_files

pytestmark = [pytest.mark.e2e, pytest.mark.long]

BERTH = "The Anna always lies at berth 4, next to the blue crane."
STORM = "No ship leaves the basin in a storm warning of force 9 or more."
LIGHTS, FRENCH, CRANE = SCANS["english"][1], SCANS["french"][1], SCANS["crane"][1]
#: (sentence to ask for, words that stand on the page, page) by name; no page where the format has none.
SAID: dict[str, list[tuple[str, str, int | None]]] = {
    **{f"{encoding}.txt": [(text.split("\n")[0], text.split("\n")[0], None)] for encoding, text in TEXTS.items()},
    **{f"handbook.{kind}": [(BERTH, BERTH, None), (STORM, STORM, None)] for kind in ("docx", "odt", "rtf")},
    "handbook.pdf": [(BERTH, BERTH, 1), (STORM, STORM, 2)],
    "notice.pdf": [("When does the swing bridge open?", "The swing bridge opens at 07:00 and 19:00.", 1),
                   ("Where does the bridge keeper answer?", "The bridge keeper answers on channel 20.", 2)],
    "mixed.pdf": [(BERTH, BERTH, 1), (CRANE, CRANE, 2), (STORM, STORM, 3)],
    "briefing.pptx": [("Fog until noon", "Fog until noon", 1), ("When does the Anna arrive?", "Ship: Anna; Time: 09:30", 2)],
    "berths.xlsx": [("Fee of the ship Juliana", "Ship: Juliana; Berth: 7; Fee: 21; Arrived: 2026-05-06", None)],
    "berths.ods": [("Fee of the ship Juliana", "Ship: Juliana; Berth: 7; Fee: 21; Arrived: 2026-05-06", None)],
    "berths.csv": [("Gebühr für das Schiff Anna", "Schiff: Anna; Liegeplatz: 4; Gebühr: 18,50", None)],
    "berths.tsv": [("fee of the ship Juliana", "ship: Juliana; berth: 7; fee: 21.00", None)],
    "berths.eml": [("The Anna moves to berth 4", "the Anna moves to berth 4. The list is attached.", None),
                   ("When is high water on Monday?", "High water on Monday is at 06:40.", None)],
    "papers.zip": [("When is high water on Monday?", "High water on Monday is at 06:40.", None), (BERTH, BERTH, None)],
    "scan.jpg": [(LIGHTS, LIGHTS, 1)],
    "scan.pdf": [(LIGHTS, LIGHTS, 1), (CRANE, CRANE, 2)],
    "fax.tiff": [(LIGHTS, LIGHTS, 1), (FRENCH, "plus de 25", 2), (CRANE, CRANE, 3)],
}  # fmt: skip
#: Read in tests/knowledge alone: what they add is recognition's, which takes seconds.
READ_ELSEWHERE = {"sideways.jpg", "scan.png"}
#: (content, code, word of the reason) by name.
REFUSED = {
    "cut-off.pdf": (read("handbook.pdf")[:-300], "invalid_file", "damaged"),
    "cut-off.docx": (read("handbook.docx")[:-300], "invalid_file", "damaged"),
    "blank.pdf": (office_files.pdf(["", ""]), "invalid_file", "No text"),
    "engine.bin": (bytes(range(256)) * 4, "unsupported_file", "not supported"),
}


@dataclass(frozen=True)
class Library:
    """A store with every fixture, attached in one batch; `files` are ids by name."""

    sdk: openai.OpenAI
    store: str
    batch: VectorStoreFileBatch
    files: dict[str, str]


@pytest.fixture(scope="module")
def library(atrium: Atrium) -> Iterator[Library]:
    sdk = atrium.new_tenant().sdk(timeout=120)
    store = sdk.vector_stores.create(name="every kind")
    contents = {name: read(name) for name in SAID} | {name: content for name, (content, _, _) in REFUSED.items()}
    batch = sdk.vector_stores.file_batches.upload_and_poll(
        store.id, files=[(name, io.BytesIO(content)) for name, content in contents.items()], poll_interval_ms=200
    )
    yield Library(sdk, store.id, batch, {file.filename: file.id for file in sdk.files.list(limit=100)})
    sdk.vector_stores.delete(store.id)


def test_every_fixture_has_a_sentence_to_be_found_by() -> None:
    assert {*SAID, *READ_ELSEWHERE} == {*NAMES}


def test_one_batch_reads_every_kind_and_names_what_it_refuses(library: Library) -> None:
    counts = valid(library.batch).file_counts
    assert (library.batch.status, counts.in_progress) == ("completed", 0)
    assert (counts.completed, counts.failed, counts.total) == (len(SAID), len(REFUSED), len(SAID) + len(REFUSED))
    attached = {file.id: valid(file) for file in library.sdk.vector_stores.files.list(library.store, limit=100)}
    for name in SAID:
        file = attached[library.files[name]]
        assert (file.status, file.last_error) == ("completed", None), name
    for name, (_, code, word) in REFUSED.items():
        file = attached[library.files[name]]
        assert file.status == "failed" and file.last_error is not None, name
        assert (file.last_error.code, word in file.last_error.message) == (code, True), file.last_error


@pytest.mark.parametrize("name", SAID)
def test_what_a_file_says_is_found_in_it_on_its_page(atrium: Atrium, library: Library, name: str) -> None:
    for question, words, page in SAID[name]:
        found = library.sdk.vector_stores.search(library.store, query=question, max_num_results=50)
        hits: list[dict[str, Any]] = [hit.to_dict() for hit in found if hit.file_id == library.files[name]]
        assert {hit["filename"] for hit in hits} == {name}, question
        places = [(hit, place) for hit in hits if (place := place_of(words, hit)) is not None]
        assert places, (question, hits)
        pages = page_spans(atrium, library.files[name])
        for hit, place in places:
            # A passage of short pages goes over several: it is named by the first, its offsets tell the others.
            assert (page_at(pages, hit["start"]), page_at(pages, place)) == (hit["page"], page), question


def place_of(words: str, hit: dict[str, Any]) -> int | None:
    """Where `words` stand in the hit's document, however its lines are broken."""
    found = re.search(r"\s+".join(map(re.escape, words.split())), hit["content"][0]["text"])
    return None if found is None else hit["start"] + found.start()


def page_spans(atrium: Atrium, file_id: str) -> list[tuple[int, int, int]]:
    [(pages,)] = atrium.sql(
        "SELECT pages FROM knowledge_document WHERE file_id = %s", file_id.removeprefix("file-")
    )  # fmt: skip
    return pages


def page_at(pages: list[tuple[int, int, int]], place: int) -> int | None:
    return next((number for number, start, end in pages if start <= place < end), None)
