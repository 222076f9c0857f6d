"""From a tenant's files to cited answers, through every process of the stack; and what must not stop them."""

import os
import re
import signal
import time
from datetime import datetime
from decimal import Decimal
from itertools import count
from pathlib import Path
from typing import Any

import openai
import pytest
import redis

from config.demo.questions import QUESTIONS, DemoQuestion
from config.supervisor import ROOT
from inference.metering import count_tokens
from knowledge.chunking import chunk, distinct_passages
from knowledge.models import IngestionPart
from knowledge.parsing.documents import ParsedDocument
from knowledge.parsing.file_types import PLAIN
from tests.e2e.conftest import Atrium, Tenant, eventually
from tests.isolation.test_cache_keys import is_shared
from tests.knowledge.office_files import pdf, zipped

pytestmark = pytest.mark.e2e

DOCUMENTS = sorted((ROOT / "config/demo/documents").iterdir())
WORDS = Path(DOCUMENTS[0]).read_text().split()
NOT_ANSWERED = "The documents do not answer this question."
_serial = count()


@pytest.fixture(scope="module")
def library(atrium: Atrium) -> tuple[Tenant, str, dict[str, str]]:
    """A tenant with the demo's documents in a store: (tenant, store id, file name → file id)."""
    tenant = atrium.new_tenant(budget="100")
    sdk = tenant.sdk()
    store = sdk.vector_stores.create(name="handbook")
    names = {}
    for path in DOCUMENTS:
        file = sdk.files.create(file=path, purpose="assistants")
        sdk.vector_stores.files.create(store.id, file_id=file.id)
        names[path.name] = file.id
    for file_id in names.values():
        done = sdk.vector_stores.files.poll(file_id, vector_store_id=store.id, poll_interval_ms=100)
        assert (done.status, done.last_error) == ("completed", None)
    return tenant, store.id, names


def ask(tenant: Tenant, store: str, text: str, **options: Any) -> tuple[str, list[dict[str, Any]]]:
    """(answer, citations) of a plain call with file_search."""
    answer = tenant.sdk().chat.completions.create(
        **{"model": "local-extractive", "messages": [{"role": "user", "content": text}], **options},
        tools=[{"type": "file_search", "vector_store_ids": [store]}],
    )
    message = answer.to_dict()["choices"][0]["message"]
    return message["content"], message.get("annotations") or []


def ask_streamed(tenant: Tenant, store: str, text: str) -> tuple[str, list[dict[str, Any]]]:
    """The same by a stream; the citations come with the finish reason."""
    content, citations = "", []
    with tenant.sdk().chat.completions.create(
        model="local-extractive",
        messages=[{"role": "user", "content": text}],
        tools=[{"type": "file_search", "vector_store_ids": [store]}],
        stream=True,
    ) as stream:
        for part in stream:
            [choice] = part.to_dict()["choices"]
            content += choice["delta"].get("content") or ""
            if found := choice["delta"].get("annotations"):
                assert choice["finish_reason"] == "stop"
                citations += found
    return content, citations


def one_line(text: str) -> str:
    return re.sub(r"\s+", " ", text).lower()


@pytest.mark.parametrize("question", [q for q in QUESTIONS if q.filename], ids=lambda q: q.filename)
def test_an_answer_cites_the_file_page_and_span_it_stands_in(atrium: Atrium, library, question: DemoQuestion) -> None:
    tenant, store, names = library
    content, citations = ask(tenant, store, question.text)
    assert question.expected_phrase.lower() in one_line(content)
    marker = content.index("[")
    [first] = [citation for citation in citations if citation["index"] == marker]
    assert (first["file_id"], first["filename"]) == (names[question.filename], question.filename)
    assert {citation["file_id"] for citation in citations} <= set(names.values())
    [(text, page)] = atrium.sql(
        'SELECT c.text, c.page FROM knowledge_chunk c JOIN knowledge_vectorstorefile f ON f.id = c.store_file_id '
        'WHERE f.tenant_id = %s AND f.file_id = %s AND c.start = %s AND c."end" = %s',
        tenant.id, first["file_id"].removeprefix("file-"), first["start"], first["end"],
    )  # fmt: skip
    assert question.expected_phrase.lower() in one_line(text)
    assert first["page"] == page and (page is not None) == question.filename.endswith(".pdf")
    assert ask_streamed(tenant, store, question.text) == (content, citations)


def test_a_question_that_no_document_supports_is_answered_so(library) -> None:
    tenant, store, _ = library
    unsupported = next(question.text for question in QUESTIONS if question.filename is None)
    assert ask(tenant, store, unsupported) == (NOT_ANSWERED, [])
    assert ask_streamed(tenant, store, unsupported) == (NOT_ANSWERED, [])


def test_any_model_reads_the_passages_and_its_markers_become_citations(atrium: Atrium, library) -> None:
    tenant, store, names = library
    content, [citation] = ask(tenant, store, "fault:cites How long is the warranty for cameras?", model="fake")
    assert content == "The answer stands here [1]." and citation["index"] == content.index("[1]")
    system = atrium.upstream.bodies[-1]["messages"][0]
    assert system["role"] == "system"
    mark = re.search(r"^<passage (\w+) \[1\]>$", system["content"], re.MULTILINE)
    assert mark is not None and f"{mark[0]}\n{citation['filename']}" in system["content"]
    assert f"</passage {mark[1]}>" in system["content"]
    assert citation["file_id"] == names[citation["filename"]]
    assert "tools" not in atrium.upstream.bodies[-1]


def test_the_ledger_has_ingestion_search_and_answer(atrium: Atrium, library) -> None:
    tenant, store, _ = library
    before = atrium.sql("SELECT count(*) FROM billing_usagerecord WHERE tenant_id = %s", tenant.id)
    question = "How long is the warranty for cameras and filter wheels?"
    ask(tenant, store, question)
    atrium.settled(tenant)
    lines = atrium.sql(
        "SELECT operation, model, meter, quantity, cost FROM billing_usagerecord WHERE tenant_id = %s ORDER BY id",
        tenant.id,
    )
    assert {line[:3] for line in lines[: len(DOCUMENTS)]} == {("ingestion", "all-MiniLM-L6-v2", "embedding_tokens")}
    new = {line[1:3]: line[3:] for line in lines[before[0][0] :]}
    quantity, cost = new["all-MiniLM-L6-v2", "embedding_tokens"]
    assert (quantity, cost) == (count_tokens(question), Decimal("0.02") * quantity / 1_000_000)
    assert new.keys() == {
        ("all-MiniLM-L6-v2", "embedding_tokens"),
        ("local-extractive", "input_tokens"),
        ("local-extractive", "output_tokens"),
    }


@pytest.mark.parametrize("streamed", [False, True])
def test_a_strangers_store_is_missing_inside_a_chat_too(atrium: Atrium, library, streamed: bool) -> None:
    _, store, _ = library
    stranger = atrium.new_tenant()
    answers = []
    for asked in (store, "vs_" + "0" * 32, "vs_nonsense"):
        with pytest.raises(openai.NotFoundError) as missing:
            (ask_streamed if streamed else ask)(stranger, asked, "How long is the warranty?")
        body = dict(missing.value.body)
        assert body.pop("request_id")
        answers.append(str(body).replace(asked, "ID"))
    assert answers[0] == answers[1]
    atrium.settled(stranger)
    assert atrium.ledger(stranger) == []


def test_a_search_finds_what_the_tenant_has_and_a_stranger_nothing(atrium: Atrium, library) -> None:
    tenant, store, names = library
    question = QUESTIONS[2]
    hits = list(tenant.sdk().vector_stores.search(store, query=question.text, max_num_results=3))
    assert hits[0].filename == question.filename and hits[0].file_id == names[question.filename]
    assert question.expected_phrase.lower() in one_line(hits[0].content[0].text)
    assert [hit.score for hit in hits] == sorted((hit.score for hit in hits), reverse=True)
    stranger = atrium.new_tenant().sdk()
    with pytest.raises(openai.NotFoundError):
        stranger.vector_stores.search(store, query=question.text)
    own = stranger.vector_stores.create(name="own")
    assert list(stranger.vector_stores.search(own.id, query=question.text)) == []


def test_redis_holds_a_tenants_keys_shared_ones_and_nobodys_content(atrium: Atrium, library) -> None:
    tenant, store, _ = library
    question = QUESTIONS[2].text
    ask(tenant, store, question)
    with redis.Redis.from_url(atrium.stack.environment["REDIS_URL"]) as client:
        found = {key.decode(): client.dump(key) or b"" for key in client.scan_iter()}
    tenants = {str(ident) for (ident,) in atrium.sql("SELECT id FROM tenants_tenant")}
    for key, value in found.items():
        owners = {ident for ident in tenants if ident in key}
        assert len(owners) == 1 or (not owners and is_shared(key)), key
        # Answers pass through an inbox; what clients ask, and their keys, never do.
        assert question.encode() not in value and tenant.key.encode() not in value
    assert any(tenant.id in key for key in found)


# files that nobody can read ------------------------------------------------------------------------------------------

PASSWORD = "/Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -4 /O <{0}> /U <{0}> >> /ID [<{0}> <{0}>]"
BAD_FILES = {
    "blank.txt": (b" \n\t \n", "invalid_file", "empty"),
    "program.pdf": (b"\x7fELF\x02\x01\x01" + bytes(200), "unsupported_file", "program"),
    "truncated.pdf": (pdf(["One.", "Two."])[:-40], "invalid_file", "damaged"),
    "encrypted.pdf": (pdf(["Secret."], trailer=PASSWORD.format("5a" * 32)), "invalid_file", "password"),
    "bomb.docx": (zipped({"word/document.xml": b" " * 60_000_000}), "invalid_file", "unpack"),
}


def test_bad_files_fail_with_their_reason_and_the_next_file_is_done(atrium: Atrium) -> None:
    tenant = atrium.new_tenant(budget="5")
    sdk = tenant.sdk()
    worker = atrium.stack.processes["ingestion"].pid
    names = {
        sdk.files.create(file=(name, content), purpose="assistants").id: name
        for name, (content, _, _) in BAD_FILES.items()
    }
    good = sdk.files.create(file=("good.txt", b"The heron nests on the northern island."), purpose="assistants")
    store = sdk.vector_stores.create(file_ids=[*names, good.id])
    for file_id, name in names.items():
        failed = sdk.vector_stores.files.poll(file_id, vector_store_id=store.id, poll_interval_ms=100)
        assert failed.status == "failed" and failed.last_error is not None, name
        _, code, said = BAD_FILES[name]
        assert failed.last_error.code == code, name
        assert said in failed.last_error.message and len(failed.last_error.message) > 10
    assert sdk.vector_stores.files.poll(good.id, vector_store_id=store.id, poll_interval_ms=100).status == "completed"
    counts = sdk.vector_stores.retrieve(store.id).file_counts
    assert (counts.failed, counts.completed, counts.in_progress) == (len(BAD_FILES), 1, 0)
    assert atrium.stack.processes["ingestion"].poll() is None and atrium.stack.processes["ingestion"].pid == worker
    # Only what was completed is paid for.
    assert [meter for meter, _, _ in atrium.ledger(tenant)] == ["embedding_tokens"]
    assert atrium.sql("SELECT held FROM billing_budgetaccount WHERE tenant_id = %s", tenant.id) == [(0,)]


def test_an_empty_file_is_refused_at_the_door(acme_running: Tenant) -> None:
    with pytest.raises(openai.BadRequestError, match="empty"):
        acme_running.sdk().files.create(file=("empty.txt", b""), purpose="assistants")


# things that break in the middle -------------------------------------------------------------------------------------


def prose(words: int) -> str:
    """A text that no other is equal to."""
    start = next(_serial)
    return f"Document {start}. " + " ".join(WORDS[(start * 7 + index) % len(WORDS)] for index in range(words))


def expected(text: str) -> tuple[int, int]:
    """(chunks, tokens embedded) of a plain text, worked out without the database or the workers."""
    chunks = chunk(ParsedDocument(text, (), None, PLAIN))
    return len(chunks), sum(count_tokens(text[span.start : span.end]) for span in distinct_passages(chunks))


def attach(tenant: Tenant, texts: list[str]) -> str:
    """Put texts into a new store, all at once; returns the store's id."""
    sdk = tenant.sdk()
    files = [
        sdk.files.create(file=(f"{number}.txt", text.encode()), purpose="assistants")
        for number, text in enumerate(texts)
    ]
    return sdk.vector_stores.create(file_ids=[file.id for file in files]).id


def states(atrium: Atrium, store: str) -> list[str]:
    rows = atrium.sql("SELECT state FROM knowledge_vectorstorefile WHERE store_id = %s", store.removeprefix("vs_"))
    return [state for (state,) in rows]


def check_exactly_once(atrium: Atrium, tenant: Tenant, store: str, texts: list[str]) -> None:
    """Chunks, vectors and ledger lines of each text are there once."""
    wanted = [expected(text) for text in texts]
    rows = atrium.sql(
        "SELECT f.chunk_count, (SELECT count(*) FROM knowledge_chunk c WHERE c.store_file_id = f.id), "
        "(SELECT count(DISTINCT e.chunk_id) FROM knowledge_embedding e WHERE e.store_file_id = f.id), "
        "(SELECT array_agg(u.quantity) FROM billing_usagerecord u WHERE u.request_id = f.id) "
        "FROM knowledge_vectorstorefile f JOIN knowledge_file file ON file.id = f.file_id "
        "WHERE f.store_id = %s ORDER BY file.filename::text COLLATE \"C\"",
        store.removeprefix("vs_"),
    )  # fmt: skip
    assert rows == [(chunks, chunks, chunks, [tokens]) for chunks, tokens in wanted]
    assert len(atrium.ledger(tenant)) == len(texts)
    assert atrium.sql("SELECT held FROM billing_budgetaccount WHERE tenant_id = %s", tenant.id) == [(0,)]


@pytest.mark.crashes
def test_a_flushed_redis_loses_no_document(atrium: Atrium) -> None:
    tenant = atrium.new_tenant(budget="5")
    texts = [prose(400) for _ in range(6)]
    store = attach(tenant, texts)
    with redis.Redis.from_url(atrium.stack.environment["REDIS_URL"]) as client:
        client.flushdb()
    assert states(atrium, store) != ["completed"] * 6
    eventually(lambda: states(atrium, store) == ["completed"] * 6, seconds=40)
    check_exactly_once(atrium, tenant, store, texts)


def held_claims(atrium: Atrium, tenant: Tenant) -> int:
    """Units of the tenant's work that some worker has."""
    [(running,)] = atrium.sql(
        "SELECT count(*) FROM tenants_work WHERE tenant_id = %s AND state = 'running'", tenant.id
    )  # fmt: skip
    return running


def parts_done(atrium: Atrium, tenant: Tenant, kind: str) -> tuple[int, int]:
    """(done, not done) of the parts of the tenant's documents."""
    rows = atrium.sql(
        "SELECT count(*) FILTER (WHERE done), count(*) FILTER (WHERE NOT done) FROM knowledge_ingestionpart "
        "WHERE tenant_id = %s AND kind = %s",
        tenant.id, kind,
    )  # fmt: skip
    return rows[0]


def kill_worker(atrium: Atrium) -> None:
    """As the machine's going down would: no claim is given back."""
    worker = atrium.stack.processes["ingestion"]
    os.killpg(worker.pid, signal.SIGKILL)
    worker.wait()


@pytest.mark.crashes
def test_a_worker_killed_in_the_middle_of_a_document_leaves_it_done_exactly_once(atrium: Atrium) -> None:
    tenant = atrium.new_tenant(budget="5")
    texts = [prose(3_500)]  # some forty passages: one run embeds them all
    store = attach(tenant, texts)
    eventually(lambda: states(atrium, store) == ["embedding"])
    kill_worker(atrium)
    assert states(atrium, store) == ["embedding"]
    assert (held_claims(atrium, tenant), parts_done(atrium, tenant, IngestionPart.Kind.EMBED)) == (1, (0, 0))
    atrium.stack.start("ingestion")
    eventually(lambda: states(atrium, store) == ["completed"], seconds=60)
    check_exactly_once(atrium, tenant, store, texts)
    [(attempts,)] = atrium.sql("SELECT attempts FROM knowledge_vectorstorefile WHERE tenant_id = %s", tenant.id)
    assert attempts == 2


@pytest.mark.crashes
def test_a_worker_killed_among_the_parts_of_a_long_document_and_redis_flushed(atrium: Atrium) -> None:
    tenant = atrium.new_tenant(budget="5")
    texts = [prose(14_000)]
    store = attach(tenant, texts)
    eventually(lambda: parts_done(atrium, tenant, IngestionPart.Kind.EMBED)[0])
    kill_worker(atrium)
    with redis.Redis.from_url(atrium.stack.environment["REDIS_URL"]) as client:
        client.flushdb()
    done, left = parts_done(atrium, tenant, IngestionPart.Kind.EMBED)
    assert done and left and held_claims(atrium, tenant)
    assert atrium.ledger(tenant) == []
    atrium.stack.start("ingestion")
    eventually(lambda: states(atrium, store) == ["completed"], seconds=60)
    check_exactly_once(atrium, tenant, store, texts)
    assert parts_done(atrium, tenant, IngestionPart.Kind.EMBED) == (0, 0)


def completed_at(atrium: Atrium, tenant: Tenant) -> list[datetime]:
    rows = atrium.sql(
        "SELECT completed_at FROM knowledge_vectorstorefile WHERE tenant_id = %s AND state = 'completed'", tenant.id
    )
    return [moment for (moment,) in rows]


def ingested_in(atrium: Atrium, tenant: Tenant) -> float:
    """Seconds from attaching one small document to its completion."""
    sdk = tenant.sdk()
    file = sdk.files.create(file=("small.txt", prose(150).encode()), purpose="assistants")
    store = sdk.vector_stores.create()
    started = time.monotonic()
    sdk.vector_stores.files.create(store.id, file_id=file.id)
    eventually(lambda: states(atrium, store.id) == ["completed"])
    return time.monotonic() - started


def test_a_tenant_with_sixty_documents_waiting_does_not_delay_one_with_one(atrium: Atrium) -> None:
    small, large = atrium.new_tenant(), atrium.new_tenant()
    alone = min(ingested_in(atrium, small) for _ in range(3))
    store = attach(large, [prose(150) for _ in range(60)])
    took = ingested_in(atrium, small)
    done = max(completed_at(atrium, small))
    before = sum(moment < done for moment in completed_at(atrium, large))
    waiting = 60 - len(completed_at(atrium, large))
    large.sdk().vector_stores.delete(store)
    assert took <= 3 * alone + 1
    assert before <= 10 and waiting >= 45
    eventually(lambda: atrium.sql("SELECT count(*) FROM tenants_work WHERE tenant_id = %s", large.id) == [(0,)])
