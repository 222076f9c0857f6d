"""A store moves to another embedding model in the background, and answers all along."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest

from billing.budgets.setting import set_budget
from billing.models import Reservation, TenantPrice, UsageRecord
from knowledge import attachments, ports, reembedding, vector_stores
from knowledge.models import Chunk, Embedding, Reembedding, VectorStore, VectorStoreFile
from knowledge.ports import EmbedderUnavailable
from knowledge.reembedding import passages, units
from knowledge.retrieval import search
from tenants import work
from tenants.audit import COMMAND_LINE
from tenants.models import AuditEvent, Work
from tenants.scope import acting_for, leave_tenant, tenant_scope
from tests.knowledge.conftest import (
    WORKER,
    WordEmbedder,
    attach,
    expire_leases,
    ingest,
    make_store,
    purge,
    reembed,
    upload,
)

OTHER, THIRD = "another-model", "a-third-model"
LONG = " ".join(f"On day {day} the lighthouse keeper writes the weather into his book." for day in range(250))


class OtherEmbedder(WordEmbedder):
    """Another model: its own space, with other dimensions."""

    model = OTHER
    space = "other@1"
    dimensions = 32


@pytest.fixture
def other():
    return OtherEmbedder()


@pytest.fixture
def acting(acme, words, other):
    ports.wire(lambda model: other if model == OTHER else words)
    with acting_for(acme.tenant.id):
        agree_on_prices()
        yield acme


def agree_on_prices():
    """A dollar a million tokens for each of the other models, by contract."""
    price = {
        "meter": "embedding_tokens",
        "currency": "USD",
        "amount": 1,
        "valid_from": datetime(2020, 1, 1, tzinfo=UTC),
    }
    with tenant_scope() as tenant_id:
        for model in (OTHER, THIRD):
            TenantPrice.objects.create(tenant_id=tenant_id, model=model, **price)


@pytest.fixture
def store(acting):
    store = make_store()
    for text in ("The heron eats eels.", "The tower is red.", LONG):
        attach(store, upload(text))
    ingest()
    return store


def change(store, model=OTHER):
    vector_stores.update_store(store_id=store.id, changes={"embedding_model": model}, by=COMMAND_LINE)


def spaces():
    with tenant_scope():
        return set(Embedding.objects.values_list("space__name", flat=True))


def best(store, query="The heron eats eels."):
    return search(store_ids=[store.id], query=query, ranker="dense", limit=1).passages[0].text


def progress(store):
    with tenant_scope():
        return reembedding.progress_of([vector_stores.get_store(store_id=store.id)]).get(store.id)


def test_the_store_answers_in_its_space_until_the_new_one_is_complete(store, words, other, monkeypatch):
    monkeypatch.setattr(passages, "CHUNKS_AT_ONCE", 3)
    change(store)
    reembed(limit=1)
    assert best(store) == "The heron eats eels."
    assert vector_stores.get_store(store_id=store.id).embedding_model == words.model
    found = progress(store)
    assert (found.embedding_model, found.failed) == (OTHER, False) and 0 < found.percent < 100
    reembed(cleaning=False)
    assert vector_stores.get_store(store_id=store.id).embedding_model == OTHER
    other.embedded.clear()
    assert best(store) == "The heron eats eels."
    assert other.embedded == ["The heron eats eels."]
    assert progress(store) is None
    assert spaces() == {"words@1", "other@1"}  # searches that began before may still be reading


def test_the_old_vectors_are_removed_and_every_chunk_has_its_new_ones(store, other):
    with tenant_scope():
        before = {
            (row.chunk_id, row.passage): (row.start, row.end) for row in Embedding.objects.all()
        }  # of each chunk its passages, and their mean
    change(store)
    reembed()
    assert spaces() == {"other@1"}
    with tenant_scope():
        after = {(row.chunk_id, row.passage): (row.start, row.end) for row in Embedding.objects.all()}
        assert after == before
        assert not Reembedding.objects.exists() and not Work.objects.exists()
        assert VectorStoreFile.objects.get(chunk_count__gt=1).usage_bytes == sum(
            len(chunk.text.encode()) for chunk in Chunk.objects.filter(store_file__chunk_count__gt=1)
        ) + sum(5 + 2 * 32 for _ in Embedding.objects.filter(chunk__store_file__chunk_count__gt=1))
        assert AuditEvent.objects.get(action="vector_store.reembedded").changes == {
            "embedding_model": ["all-MiniLM-L6-v2", OTHER]
        }


def test_each_passage_is_embedded_and_charged_once_at_the_new_models_price(store, other, words):
    with tenant_scope():
        ingested = sum(UsageRecord.objects.values_list("quantity", flat=True))
    change(store)
    reembed()
    with tenant_scope():
        lines = list(UsageRecord.objects.filter(operation="reembedding").values_list("model", "quantity"))
        assert {model for model, _ in lines} == {OTHER}
        assert sum(quantity for _, quantity in lines) == sum(len(text.split()) for text in other.embedded) <= ingested
        assert not Reservation.objects.filter(state="open").exists()
    assert len(other.embedded) == len(set(other.embedded))


def test_a_file_that_is_ingested_meanwhile_is_caught_up_before_the_switch(store, monkeypatch):
    monkeypatch.setattr(passages, "CHUNKS_AT_ONCE", 2)
    change(store)
    reembed(limit=2)
    attach(store, upload("The owl sleeps."))
    ingest()
    reembed()
    assert spaces() == {"other@1"}
    assert best(store, "The owl sleeps.") == "The owl sleeps."


def test_a_run_that_embedded_for_the_space_before_begins_anew(store, words, monkeypatch):
    attach(store, upload("The owl sleeps."))
    change(store)
    embed = words.embed

    def switch_then_embed(texts):
        monkeypatch.setattr(words, "embed", embed)
        reembed(cleaning=False)
        return embed(texts)

    monkeypatch.setattr(words, "embed", switch_then_embed)
    ingest()
    assert best(store, "The owl sleeps.") == "The owl sleeps."
    with tenant_scope():
        assert VectorStoreFile.objects.filter(state="completed").count() == 4
        assert not Reservation.objects.filter(state="open").exists()


def test_a_second_wish_replaces_the_first(store, other, monkeypatch):
    third = OtherEmbedder()
    third.space, third.model = "third@1", THIRD
    words = ports._source("all-MiniLM-L6-v2")
    ports.wire(lambda model: {OTHER: other, third.model: third}.get(model, words))
    monkeypatch.setattr(passages, "CHUNKS_AT_ONCE", 2)
    change(store)
    reembed(limit=1)
    change(store, third.model)
    reembed()
    assert spaces() == {"third@1"}
    assert vector_stores.get_store(store_id=store.id).embedding_model == third.model


def test_the_present_model_takes_the_wish_back(store, monkeypatch):
    monkeypatch.setattr(passages, "CHUNKS_AT_ONCE", 2)
    change(store)
    reembed(limit=1)
    change(store, "all-MiniLM-L6-v2")
    assert progress(store) is None
    reembed()
    assert spaces() == {"words@1"}
    assert best(store) == "The heron eats eels."
    with tenant_scope():
        assert not Reembedding.objects.exists()


def test_asking_for_the_present_model_does_nothing(store):
    change(store, "all-MiniLM-L6-v2")
    with tenant_scope():
        assert not Reembedding.objects.exists() and not Work.objects.exists()


def test_asking_again_meanwhile_does_not_begin_again(store, monkeypatch, other):
    monkeypatch.setattr(passages, "CHUNKS_AT_ONCE", 2)
    change(store)
    reembed(limit=1)
    change(store)
    reembed()
    assert len(other.embedded) == len(set(other.embedded))


def test_a_version_that_is_served_no_more_is_healed_by_the_same_wish(store, words):
    words.space = "words@2"
    with pytest.raises(ports.SpaceChanged) as changed:
        best(store)
    assert "embedding_model" in changed.value.message
    change(store, "all-MiniLM-L6-v2")
    reembed()
    assert spaces() == {"words@2"}
    assert best(store) == "The heron eats eels."


def test_a_spent_budget_leaves_the_store_serving_and_says_why(store, monkeypatch):
    monkeypatch.setattr(passages, "CHUNKS_AT_ONCE", 2)
    change(store)
    reembed(limit=1)
    with tenant_scope():
        spent = sum(UsageRecord.objects.values_list("cost", flat=True))
    set_budget(name="monthly", limit=spent + Decimal("0.000000001"), by=COMMAND_LINE)
    reembed()
    found = progress(store)
    assert found.failed and "exhausted" in found.error
    assert best(store) == "The heron eats eels."
    set_budget(name="monthly", limit=Decimal(10), by=COMMAND_LINE)
    change(store)
    reembed()
    assert spaces() == {"other@1"}


def test_a_model_that_is_away_is_tried_again_and_then_given_up(store, other):
    change(store)
    other.fails = [EmbedderUnavailable("away")] * 5
    reembed(limit=4)
    assert progress(store).failed is False
    reembed()
    assert progress(store).failed and "away" in progress(store).error
    change(store)
    reembed()
    assert spaces() == {"other@1"}


@pytest.mark.parametrize("dies_in", ["next_passages", "_hold", "write", "charge", "next_unit", "switch"])
def test_a_worker_that_dies_is_followed_by_one_that_goes_on(store, monkeypatch, dies_in):
    class Killed(BaseException):
        """As a kill would: nothing catches it."""

    def die(*args, **kwargs):
        raise Killed

    change(store)
    with monkeypatch.context() as patched:
        patched.setattr(units, dies_in, die)
        with pytest.raises(Killed):
            reembed()
    assert reembed() == 0  # still the dead worker's
    expire_leases()
    for claim in work.expired(work.REEMBEDDING):
        with leave_tenant(), acting_for(claim.tenant_id):
            reembedding.recover(claim)
    reembed()
    assert spaces() == {"other@1"}
    with tenant_scope():
        units_charged = set(UsageRecord.objects.values_list("request_id", flat=True))
        assert len(units_charged) == UsageRecord.objects.count()  # no unit is charged twice
        assert not Reservation.objects.filter(state="open").exists()


def test_files_that_are_detached_meanwhile_leave_nothing(store, other, monkeypatch):
    change(store)
    embed = other.embed

    def detach_then_embed(texts):
        monkeypatch.setattr(other, "embed", embed)
        with tenant_scope():
            files = list(VectorStoreFile.objects.values_list("file_id", flat=True))
        for file_id in files[1:]:
            attachments.detach(store_id=store.id, file_id=file_id, by=COMMAND_LINE)
        return embed(texts)

    monkeypatch.setattr(other, "embed", detach_then_embed)
    reembed()
    with tenant_scope():
        assert Embedding.objects.count() == Chunk.objects.count() == VectorStore.objects.get().chunk_count == 1


def test_deleting_the_store_meanwhile_ends_it(store, other, monkeypatch):
    change(store)
    embed = other.embed

    def delete_then_embed(texts):
        vector_stores.delete_store(store_id=store.id, by=COMMAND_LINE)
        purge()
        return embed(texts)

    monkeypatch.setattr(other, "embed", delete_then_embed)
    assert reembed() == 1
    with tenant_scope():
        for table in (VectorStore, Reembedding, Embedding, Work):
            assert not table.objects.exists(), table
        assert not Reservation.objects.filter(state="open").exists()


def test_units_of_two_tenants_take_turns(store, globex, words, other, monkeypatch):
    monkeypatch.setattr(passages, "CHUNKS_AT_ONCE", 1)
    change(store)
    with leave_tenant(), acting_for(globex.tenant.id):
        agree_on_prices()
        theirs = make_store()
        attach(theirs, upload("one"))
        ingest()
        change(theirs)
    owners = []
    for _ in range(4):
        claim = reembedding.claim_next(worker=WORKER)
        owners.append(claim.tenant_id)
        with leave_tenant(), acting_for(claim.tenant_id):
            reembedding.run(claim, worker=WORKER)
    assert owners.count(globex.tenant.id) == 2  # its one chunk, and the switch: not behind the other's three


def test_an_empty_store_switches_at_once(acting):
    store = make_store()
    change(store)
    assert reembed(cleaning=False) == 1
    assert vector_stores.get_store(store_id=store.id).embedding_model == OTHER
