"""What ran when a worker died runs alone from then on, so that nobody is given up for a neighbour's killing."""

import threading

import pytest

from knowledge import ingestion
from knowledge.ingestion import parts, runs
from knowledge.ingestion.company import Company
from knowledge.models import VectorStoreFile
from tenants import work
from tenants.models import Work
from tenants.scope import acting_for, leave_tenant, tenant_scope
from tests.knowledge.conftest import WORKER, attach, expire_leases, ingest, make_store, recover, upload

State = VectorStoreFile.State
SECONDS = 10


class Killed(BaseException):
    """As a kill would: nothing catches it."""


@pytest.fixture
def acting(acme, words):
    with acting_for(acme.tenant.id):
        yield acme


def fresh(row):
    with tenant_scope():
        row.refresh_from_db()
    return row


def die(*args: object, **kwargs: object) -> None:
    raise Killed


def die_beside_each_other(units: int) -> None:
    """Begin that many units, and let their worker die with all of them."""
    claims = [ingestion.claim_next(worker=WORKER) for _ in range(units)]
    for claim in claims:
        assert claim is not None
        with leave_tenant(), acting_for(claim.tenant_id), pytest.raises(Killed):
            ingestion.run(claim, worker=WORKER)
    expire_leases()
    assert recover() == units


@pytest.mark.parametrize("tried", [0, 4])
def test_what_runs_beside_a_killer_is_charged_one_attempt_and_completed(acting, monkeypatch, tried):
    store = make_store()
    healthy, poison = attach(store, upload("Calm seas.")), attach(store, upload("Poison."))
    with tenant_scope():
        VectorStoreFile.objects.update(attempts=tried)
    with monkeypatch.context() as dying:
        dying.setattr(runs, "parse", die)
        die_beside_each_other(2)
    assert fresh(healthy).attempts == fresh(poison).attempts == min(1 + tried, 4)
    parse = runs.parse

    def kill(data, name):
        return die() if data.startswith(b"Poison") else parse(data, name)

    monkeypatch.setattr(runs, "parse", kill)
    deaths = 0
    while fresh(poison).state != State.FAILED:
        deaths += 1
        assert deaths <= 4
        with pytest.raises(Killed):
            ingest()
        expire_leases()
        recover()
    assert deaths == (1 if tried else 4) and fresh(poison).attempts == 5
    assert (fresh(healthy).state, fresh(healthy).attempts) == (State.COMPLETED, min(2 + tried, 5))
    with tenant_scope():
        letter = Work.objects.get()
        assert (letter.id, letter.state) == (poison.id, "dead") and "died" in letter.reason


def test_a_unit_that_had_not_begun_when_its_worker_died_is_charged_nothing_and_no_suspect(acting):
    attached = attach(make_store(), upload("Calm seas."))
    for _ in range(7):
        assert ingestion.claim_next(worker=WORKER) is not None
        expire_leases()
        assert recover() == 1
    with tenant_scope():
        assert Work.objects.get().reason == ""
    assert ingest() == 1
    assert (fresh(attached).state, fresh(attached).attempts) == (State.COMPLETED, 1)


def test_a_suspect_begins_when_what_runs_beside_it_has_ended(acting, monkeypatch):
    attach(make_store(), upload("Calm seas."))
    with monkeypatch.context() as dying:
        dying.setattr(runs, "parse", die)
        die_beside_each_other(1)
    monkeypatch.setattr(runs.company, "here", company := Company())
    began, over = threading.Event(), threading.Event()

    def neighbour():
        with company.beside_others():
            began.set()
            assert over.wait(SECONDS)

    seen, parse = [], runs.parse
    monkeypatch.setattr(runs, "parse", lambda *document: seen.append(over.is_set()) or parse(*document))
    thread = threading.Thread(target=neighbour)
    thread.start()
    assert began.wait(SECONDS)
    timer = threading.Timer(0.2, over.set)
    timer.start()
    assert ingest() == 1
    thread.join(SECONDS)
    assert seen == [True]


def test_parts_that_die_beside_each_other_are_one_death_of_their_document(acting, words, monkeypatch):
    words.texts_at_once = 8
    text = "".join(f"Keeper number {number} writes the weather into the book of the house. " for number in range(900))
    attached = attach(make_store(), upload(text))
    ingest(limit=1)
    assert fresh(attached).parts_left >= 3
    with monkeypatch.context() as dying:
        dying.setattr(parts, "embed", die)
        die_beside_each_other(3)
        assert fresh(attached).attempts == 1
        with pytest.raises(Killed):
            ingest(limit=1)  # a part that has not run yet: suspect with its document
        expire_leases()
        recover()
    assert (fresh(attached).attempts, fresh(attached).state) == (2, State.EMBEDDING)
    ingest()
    assert fresh(attached).state == State.COMPLETED


def test_a_suspect_that_waits_for_another_reason_stays_suspect(acting, words, monkeypatch):
    from knowledge.ports import EmbedderUnavailable

    attach(make_store(), upload("Calm seas."))
    with monkeypatch.context() as dying:
        dying.setattr(runs, "parse", die)
        die_beside_each_other(1)
    words.fails.append(EmbedderUnavailable("away"))
    assert ingest() == 1
    with tenant_scope():
        Work.objects.update(state="queued")
    claim = work.claim(work.INGESTION, worker=WORKER, lease=ingestion.runs.lease_time())
    with pytest.raises(ingestion.runs.Suspect):
        ingestion.runs.begin(claim)


def test_those_who_wish_to_be_alone_go_first():
    company, order = Company(), []
    holding, wished = threading.Event(), threading.Event()

    def first():
        with company.beside_others():
            holding.set()
            assert wished.wait(SECONDS)

    def lonely():
        with company.alone():
            order.append("alone")

    def later():
        company.wait()
        with company.beside_others():
            order.append("beside")

    threads = [threading.Thread(target=target) for target in (first, lonely, later)]
    threads[0].start()
    assert holding.wait(SECONDS)
    threads[1].start()
    while not company._wish_alone:
        assert threads[1].is_alive()
    threads[2].start()
    wished.set()
    for thread in threads:
        thread.join(SECONDS)
    assert order == ["alone", "beside"]
