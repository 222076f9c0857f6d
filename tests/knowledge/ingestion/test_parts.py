"""A long document is read and embedded in parts by whoever is free, and ends as one: completed once, charged once."""

import uuid
from datetime import timedelta
from decimal import Decimal

import pytest

from billing.budgets import setting
from billing.models import Reservation, UsageRecord
from knowledge import attachments, files, ingestion
from knowledge.ingestion import company, parts
from knowledge.ingestion.company import Company
from knowledge.models import Chunk, Document, Embedding, IngestionPart, VectorStore, VectorStoreFile
from knowledge.ports import EmbedderUnavailable
from tenants.audit import COMMAND_LINE
from tenants.models import Lane, Work
from tenants.scope import acting_for, leave_tenant, tenant_scope
from tests.knowledge.conftest import WORKER, attach, expire_leases, ingest, make_store, purge, recover, upload
from tests.knowledge.long_pdf import pdf_of

State = VectorStoreFile.State
PAGES = 320
#: Some 40 passages, of which the stand-in for the model takes eight at once.
LONG = "\n\n".join(
    " ".join(f"On day {day} of year {year} the keeper writes the weather into his book." for day in range(50))
    for year in range(1900, 1912)
)


@pytest.fixture
def words_in_eights(words):
    words.texts_at_once = 8
    return words


@pytest.fixture
def acting(acme, words_in_eights):
    with acting_for(acme.tenant.id):
        yield acme


def long_pdf(pages: int = PAGES) -> bytes:
    return pdf_of(
        [[f"This is page {number} of the keeper's book.", f"mark{number:04}"] for number in range(1, pages + 1)]
    )


def fresh(row):
    with tenant_scope():
        row.refresh_from_db()
    return row


def check_completed_once(attached) -> None:
    """Nothing is left of the parts, the counts agree, and the ledger has one line for all the tokens."""
    attached = fresh(attached)
    assert (attached.state, attached.percent, attached.parts_left) == (State.COMPLETED, 100, 0)
    with tenant_scope():
        assert not IngestionPart.objects.exists() and not Work.objects.exists()
        assert Lane.objects.get().running == 0
        rows = list(Chunk.objects.filter(store_file=attached).order_by("ordinal"))
        document = Document.objects.get(file=attached.file_id, preparation="")
        assert all(document.text[row.start : row.end] == row.text for row in rows)
        assert len(rows) == attached.chunk_count == VectorStore.objects.get(id=attached.store_id).chunk_count
        assert UsageRecord.objects.filter(request_id=attached.id).count() == 1
        assert not Reservation.objects.filter(state="open").exists()


def test_a_long_text_is_embedded_in_parts(acting, words):
    attached = attach(make_store(), upload(LONG))
    assert ingest(limit=1) == 1
    waiting = fresh(attached)
    with tenant_scope():
        assert (waiting.state, waiting.parts_left) == (State.EMBEDDING, IngestionPart.objects.count())
        assert waiting.parts_left >= 4 and not words.embedded
        assert Work.objects.get(id=attached.id).state == "parked"
        assert not Chunk.objects.exists()
    assert ingest() == waiting.parts_left + 1
    check_completed_once(attached)
    assert len(words.embedded) == len(set(words.embedded)), "no passage twice"
    with tenant_scope():
        # What the passages have in words by the embedder's own count, each embedded once.
        assert UsageRecord.objects.get().quantity == sum(len(text.split()) for text in words.embedded)
        assert Embedding.objects.filter(store_file_id=attached.id).count() >= len(words.embedded)


def test_the_vectors_are_the_same_as_of_a_document_embedded_at_once(acting, words):
    by_parts = attach(make_store(), upload(LONG))
    ingest()
    words.texts_at_once = 10_000
    at_once = attach(make_store(), upload(LONG + " "))  # another content, or it would be copied
    assert ingest() == 1
    with tenant_scope():
        first, second = (
            {
                (row.chunk.ordinal, row.passage): (row.start, row.end, list(row.embedding))
                for row in Embedding.objects.filter(store_file_id=attached.id).select_related("chunk")
            }
            for attached in (by_parts, at_once)
        )
    assert first == second and len(first) > 40


def test_a_long_pdf_is_read_in_parts_and_keeps_its_pages(acting):
    store = make_store()
    attached = attach(store, upload(long_pdf(), "book.pdf"))
    assert ingest(limit=1) == 1
    waiting = fresh(attached)
    assert (waiting.state, waiting.parts_left, waiting.pages_done, waiting.pages_total) == (State.PARSING, 4, 0, PAGES)
    assert ingest(limit=1) == 1
    assert (fresh(attached).pages_done, fresh(attached).percent) == (100, 13)  # 5 + 35 × ¼
    ingest()
    check_completed_once(attached)
    assert (fresh(attached).pages_done, fresh(attached).pages_total) == (PAGES, PAGES)
    with tenant_scope():
        document = Document.objects.get()
    assert [number for number, _, _ in document.pages] == list(range(1, PAGES + 1))
    for number, start, end in document.pages:
        assert f"mark{number:04}" in document.text[start:end] and f"mark{number + 1:04}" not in document.text[start:end]


def test_a_part_of_blank_pages_leaves_the_others_their_pages(acting):
    pages = [[] if 101 <= number <= 200 else [f"mark{number:04}"] for number in range(1, 301)]
    attached = attach(make_store(), upload(pdf_of(pages), "book.pdf"))
    ingest()
    check_completed_once(attached)
    with tenant_scope():
        document = Document.objects.get()
    said = [document.text[start:end] for _, start, end in document.pages]
    assert said == ["".join(lines) for lines in pages]


def test_a_long_pdf_without_any_text_fails_with_what_its_parts_know(acting):
    blank = pdf_of([[]] * 200)
    damaged = blank.replace(b"[5 0 R 7 0 R", b"[0 0 R 0 0 R")  # pages 1 and 2
    assert damaged != blank
    rows = [attach(make_store(), upload(data, "book.pdf")) for data in (blank, damaged)]
    ingest()
    reasons = [(fresh(row).state, fresh(row).error_code, fresh(row).error_message) for row in rows]
    nothing = "No text was found in the file."
    assert reasons == [
        (State.FAILED, "invalid_file", nothing),
        (State.FAILED, "invalid_file", f"{nothing} Page 1 was not read: it is damaged."),
    ]
    with tenant_scope():
        assert not IngestionPart.objects.exists() and not Work.objects.exists() and not UsageRecord.objects.exists()


def test_what_parts_embedded_before_the_store_switched_its_model_is_embedded_again(acting, words_in_eights):
    attached = attach(make_store(), upload(LONG))
    ingest(limit=3)
    words_in_eights.space = "words@2"
    with tenant_scope():
        space = VectorStore.objects.get().space
        VectorStore.objects.update(
            space=type(space).objects.create(tenant_id=space.tenant_id, name="words@2", dimensions=64)
        )
    ingest()
    ingest()
    check_completed_once(attached)
    with tenant_scope():
        assert set(Embedding.objects.values_list("space__name", flat=True)) == {"words@2"}


def test_a_file_is_read_once_however_many_stores_it_is_in(acting, monkeypatch):
    from knowledge.chunking import ChunkingStrategy

    file = upload(long_pdf(), "book.pdf")
    attach(make_store(), file)
    ingest()
    read = []
    monkeypatch.setattr(parts, "parse_pages", lambda *args, **kwargs: read.append(1))
    other = attach(make_store(), file, strategy=ChunkingStrategy(200, 0))
    ingest()
    assert fresh(other).state == State.COMPLETED and not read


def test_two_stores_that_get_a_long_file_at_once_read_it_once(acting, monkeypatch):
    read, parse_pages = [], parts.parse_pages
    monkeypatch.setattr(
        parts, "parse_pages", lambda *args, **kwargs: read.append(kwargs) or parse_pages(*args, **kwargs)
    )
    file = upload(long_pdf(), "book.pdf")
    rows = [attach(make_store(), file) for _ in range(2)]
    ingest()
    for _ in range(3):
        with tenant_scope():
            Work.objects.filter(state="delayed").update(state="queued")
        ingest()
    assert {fresh(row).state for row in rows} == {State.COMPLETED}
    assert len(read) == 4


class Killed(BaseException):
    """As a kill would: nothing catches it."""


def die(*args: object, **kwargs: object) -> None:
    raise Killed


@pytest.mark.parametrize("dies_in", ["embed", "_finish", "run_part", "complete", "split_embedding", "_park"])
def test_a_worker_that_dies_costs_one_part(acting, words, monkeypatch, dies_in):
    from knowledge.ingestion import runs

    attached = attach(make_store(), upload(LONG))
    if dies_in not in ("split_embedding", "_park"):
        ingest(limit=1)
    if dies_in == "complete":
        ingest(limit=fresh(attached).parts_left)
    with monkeypatch.context() as patched:
        patched.setattr(parts if dies_in in ("embed", "_finish", "_park") else runs, dies_in, die)
        with pytest.raises(Killed):
            ingest()
    expire_leases()
    assert recover() == 1
    ingest()
    check_completed_once(attached)
    again = len(words.embedded) - len(set(words.embedded))
    assert again == (8 if dies_in == "_finish" else 0)


def test_a_part_that_was_taken_over_writes_nothing(acting, words, monkeypatch):
    attached = attach(make_store(), upload(LONG))
    ingest(limit=1)
    embed, slept = parts.embed, []

    def oversleep(*args: object) -> object:
        if not slept:
            slept.append(1)
            expire_leases()
            recover()
            with monkeypatch.context() as elsewhere:
                elsewhere.setattr(company, "here", Company())
                ingest()  # all of it, by another process
        return embed(*args)

    monkeypatch.setattr(parts, "embed", oversleep)
    ingest()
    check_completed_once(attached)


def test_another_tenants_document_gets_in_between_two_parts(acme, globex, words_in_eights):
    with acting_for(acme.tenant.id):
        long = attach(make_store(), upload(LONG))
        assert ingest(limit=2) == 2
    with acting_for(globex.tenant.id):
        short = attach(make_store(), upload("A short note."))
        assert ingest(limit=2) == 2  # a lane that is new stands behind the ones that were served
        assert fresh(short).state == State.COMPLETED
    with acting_for(acme.tenant.id):
        assert fresh(long).parts_left > 0
        ingest()
        check_completed_once(long)


def test_parts_stand_before_the_tenants_later_documents(acting):
    long = attach(make_store(), upload(LONG))
    later = attach(make_store(), upload("A short note."))
    ingest(limit=1)
    ingest(limit=fresh(long).parts_left + 1)
    assert (fresh(long).state, fresh(later).state) == (State.COMPLETED, State.QUEUED)


@pytest.mark.parametrize("deleted", ["detached", "file", "store"])
def test_what_is_deleted_in_the_middle_leaves_no_parts(acting, deleted, django_capture_on_commit_callbacks):
    from knowledge import vector_stores

    store, file = make_store(), upload(LONG)
    attach(store, file)
    ingest(limit=2)
    with django_capture_on_commit_callbacks(execute=True):
        match deleted:
            case "detached":
                attachments.detach(store_id=store.id, file_id=file.id, by=COMMAND_LINE)
            case "file":
                files.delete_file(file_id=file.id, by=COMMAND_LINE)
            case "store":
                vector_stores.delete_store(store_id=store.id, by=COMMAND_LINE)
    purge()
    with tenant_scope():
        assert not IngestionPart.objects.exists() and not Work.objects.exists() and not Chunk.objects.exists()
        assert Document.objects.exists() == (deleted != "file")
    assert ingest() == 0


def test_a_document_detached_while_a_part_is_embedded_is_not_written(acting, monkeypatch):
    store, file = make_store(), upload(LONG)
    attach(store, file)
    ingest(limit=1)
    embed = parts.embed

    def detach_meanwhile(*args: object) -> object:
        attachments.detach(store_id=store.id, file_id=file.id, by=COMMAND_LINE)
        return embed(*args)

    monkeypatch.setattr(parts, "embed", detach_meanwhile)
    assert ingest() == 1
    with tenant_scope():
        assert not IngestionPart.objects.exists() and not Work.objects.exists()


def test_a_part_that_kills_every_worker_fails_its_document_after_five_attempts(acting, monkeypatch):
    attached = attach(make_store(), upload(LONG))
    ingest(limit=1)
    monkeypatch.setattr(parts, "embed", die)
    for _ in range(5):
        with pytest.raises(Killed):
            ingest(limit=1)
        assert fresh(attached).state == State.EMBEDDING
        expire_leases()
        recover()
    failed = fresh(attached)
    assert (failed.state, failed.error_code) == (State.FAILED, "server_error")
    assert "5 times" in failed.error_message
    assert ingest() == 0
    with tenant_scope():
        assert not IngestionPart.objects.exists()
        assert (Work.objects.get().id, Work.objects.get().state) == (attached.id, "dead")
        assert not Reservation.objects.filter(state="open").exists() and not UsageRecord.objects.exists()


def test_a_temporary_fault_of_a_part_delays_only_it(acting, words):
    attached = attach(make_store(), upload(LONG))
    ingest(limit=1)
    total = fresh(attached).parts_left
    words.fails.append(EmbedderUnavailable("away"))
    assert ingest() == total
    assert fresh(attached).parts_left == 1
    with tenant_scope():
        assert Work.objects.filter(state="delayed").update(state="queued") == 1
    ingest()
    check_completed_once(attached)


def test_a_bad_page_range_fails_the_document_and_leaves_nothing(acting, monkeypatch):
    from knowledge.parsing.documents import UnreadableFile

    attached = attach(make_store(), upload(long_pdf(), "book.pdf"))
    ingest(limit=2)

    def refuse(*args: object, **kwargs: object) -> None:
        raise UnreadableFile("invalid_file", "Page 101 is damaged.")

    monkeypatch.setattr(parts, "parse_pages", refuse)
    assert ingest() == 1
    failed = fresh(attached)
    assert (failed.state, failed.error_code, failed.error_message) == (
        State.FAILED,
        "invalid_file",
        "Page 101 is damaged.",
    )
    with tenant_scope():
        assert not IngestionPart.objects.exists() and not Work.objects.exists() and Lane.objects.get().running == 0


def test_the_hold_covers_the_document_and_is_renewed_by_its_parts(acting):
    attach(make_store(), upload(LONG))
    ingest(limit=1)
    with tenant_scope():
        hold = Reservation.objects.get(state="open")
        assert hold.dispatched_at is None and hold.hold > 0
        Reservation.objects.update(expires_at=hold.created_at + timedelta(seconds=1))
    ingest(limit=1)
    with tenant_scope():
        assert Reservation.objects.get(state="open").expires_at > hold.created_at + timedelta(minutes=5)


def test_a_hold_that_ran_out_is_taken_anew_for_the_charge(acting):
    attached = attach(make_store(), upload(LONG))
    ingest(limit=2)
    with tenant_scope():
        hold = Reservation.objects.get(state="open")
    from billing.reservations import release

    release(hold.id)
    ingest()
    check_completed_once(attached)


def test_a_budget_that_cannot_pay_all_parts_refuses_before_the_first(acting, words):
    setting.set_budget(name="month", limit=Decimal("0.00000001"), currency="USD", by=COMMAND_LINE)
    attached = attach(make_store(), upload(LONG), key_id=uuid.uuid4())
    ingest()
    failed = fresh(attached)
    assert failed.state == State.FAILED and "'month' is exhausted" in failed.error_message
    with tenant_scope():
        assert not IngestionPart.objects.exists()
    assert not words.embedded


def test_each_part_that_is_left_to_others_wants_a_doorbell(acting):
    attached = attach(make_store(), upload(LONG))
    rung = []
    while (claim := ingestion.claim_next(worker=WORKER)) is not None:
        with leave_tenant(), acting_for(claim.tenant_id):
            rung.append(ingestion.run(claim, worker=WORKER))
    count = rung[0]
    assert count >= 4 and rung == [count, *[0] * (count - 1), 1, 0]
    check_completed_once(attached)
