"""Doorbells ring on commit, the sweep makes up for lost ones, and a broker that is away loses nothing."""

import pytest
from kombu.exceptions import OperationalError

from knowledge import ingestion, tasks
from knowledge.models import VectorStoreFile
from tenants.audit import COMMAND_LINE
from tenants.models import Work
from tenants.scope import acting_for, leave_tenant, tenant_scope
from tests.knowledge.conftest import attach, expire_leases, make_store, upload


@pytest.fixture
def rung(monkeypatch):
    """The doorbells that were rung, by their options."""
    heard = []
    monkeypatch.setattr(tasks.ingest, "apply_async", lambda **options: heard.append(options))
    return heard


@pytest.fixture
def acting(acme, words):
    with acting_for(acme.tenant.id):
        yield acme


def test_attaching_rings_once_it_is_committed(acting, rung, django_capture_on_commit_callbacks):
    store, file = make_store(), upload("text")
    with django_capture_on_commit_callbacks(execute=True):
        tasks.start_ingestion(store_id=store.id, file_id=file.id, by=COMMAND_LINE)
        assert rung == []
    assert len(rung) == 1


def test_a_new_store_rings_for_each_file(acting, rung, django_capture_on_commit_callbacks):
    files = [upload("one"), upload("two")]
    with django_capture_on_commit_callbacks(execute=True):
        tasks.start_store(by=COMMAND_LINE, file_ids=[file.id for file in files])
    assert len(rung) == 2


def test_a_broker_that_is_away_does_not_undo_the_row(acting, monkeypatch, django_capture_on_commit_callbacks):
    def away(**options):
        raise OperationalError

    monkeypatch.setattr(tasks.ingest, "apply_async", away)
    store, file = make_store(), upload("text")
    with django_capture_on_commit_callbacks(execute=True):
        tasks.start_ingestion(store_id=store.id, file_id=file.id, by=COMMAND_LINE)
    with tenant_scope():
        assert Work.objects.get().state == "queued"


def test_the_doorbell_ingests_the_next_document_of_whoever_it_is(acting):
    attached = attach(make_store(), upload("text"))
    with leave_tenant():
        tasks.ingest()
        tasks.ingest()  # nothing waits: nothing happens
    with tenant_scope():
        attached.refresh_from_db()
        assert attached.state == VectorStoreFile.State.COMPLETED


def test_the_sweep_rings_for_what_waits_and_recovers_what_died(acting, rung):
    store = make_store()
    attach(store, upload("one"))
    attach(store, upload("two"))
    claim = ingestion.claim_next(worker="dead")
    expire_leases()
    with leave_tenant():
        tasks.sweep_ingestion()
    assert len(rung) == 2 and all(0 < options["expires"] < 10 for options in rung)
    with tenant_scope():
        assert Work.objects.get(id=claim.id).state == "queued"


def test_the_sweep_is_silent_when_nothing_waits(db, rung):
    tasks.sweep_ingestion()
    assert rung == []
