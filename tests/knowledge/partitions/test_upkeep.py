"""A tenant's rows change places, and nothing else changes: what search finds, who may read, what others notice."""

import os
import threading
import time
from collections.abc import Callable

import psycopg
import pytest
from django.db import OperationalError, connections

from knowledge import attachments, partitions
from knowledge.models import Embedding, Space, VectorStoreFile
from knowledge.partitions import moves
from knowledge.partitions.layout import VECTORS, leaf_of, own_leaves
from knowledge.retrieval import search
from tenants.audit import COMMAND_LINE
from tenants.catalogue import violations
from tenants.ids import uuid7
from tenants.scope import acting_for, tenant_scope
from tests.knowledge.conftest import purge
from tests.knowledge.partitions.conftest import LARGE, SMALL, TOPICS, fill, is_own


def found(member, store, query="the kiln of the master", **options):
    """(score, chunk) of what a search finds; equal scores in any order."""
    with acting_for(member.tenant.id):
        passages = search(store_ids=[store.id], query=query, **options).passages
    return sorted((round(passage.score, 4), str(passage.chunk_id)) for passage in passages)


def detach_all_but(member, store, count):
    with acting_for(member.tenant.id):
        with tenant_scope():
            files = list(VectorStoreFile.objects.filter(store=store).values_list("file_id", flat=True))
        for file_id in files[count:]:
            attachments.detach(store_id=store.id, file_id=file_id, by=COMMAND_LINE)
        purge()


def leaf(member, table=VECTORS):
    with connections["owner"].cursor() as cursor:
        return leaf_of(cursor, table, member.tenant.id)


def indexes(member):
    with connections["owner"].cursor() as cursor:
        cursor.execute(
            "SELECT i.indexname FROM pg_indexes i WHERE i.tablename LIKE %s AND i.indexdef ~ 'ivfflat'",
            [f"%{member.tenant.id.hex}"],
        )
        return {name for (name,) in cursor.fetchall()}


def test_a_tenant_that_grows_gets_a_place_of_its_own_and_goes_back_when_it_shrinks(place):
    acme, globex = place("acme"), place("globex")
    large, small = fill(acme, LARGE), fill(globex, 8)
    options = (
        {},
        {"ranker": "dense"},
        {"ranker": "lexical"},
        {"filters": {"type": "lt", "key": "number", "value": 16}},
    )
    before = [found(acme, large, limit=8, **option) for option in options]
    of_globex = found(globex, small)

    done = partitions.tend()

    assert done.own == [leaf(acme).name]
    assert is_own(acme.tenant.id) and not is_own(globex.tenant.id)
    assert [found(acme, large, limit=8, **option) for option in options] == before
    assert found(globex, small) == of_globex
    assert violations("default") == []

    detach_all_but(acme, large, SMALL)  # between the thresholds: it stays
    assert partitions.tend().shared == []
    detach_all_but(acme, large, SMALL - 1)
    few = found(acme, large, limit=50)
    partitions.tend()
    assert not is_own(acme.tenant.id)
    assert found(acme, large, limit=50) == few and len(few) == SMALL - 1
    assert violations("default") == []


def test_a_tenant_below_the_threshold_stays_among_the_others(place):
    acme = place("acme")
    fill(acme, LARGE - 1)
    assert partitions.tend().own == []
    assert not is_own(acme.tenant.id)


def test_nobody_but_the_owner_reads_a_partition(place):
    acme = place("acme")
    fill(acme, LARGE)
    partitions.tend()
    name = connections["owner"].settings_dict["NAME"]
    for role in ("DATABASE_URL", "STAFF_DATABASE_URL"):
        with psycopg.connect(os.environ[role], dbname=name) as connection:
            connection.execute("SELECT set_config('app.tenant_id', %s, true)", [str(acme.tenant.id)])
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(f"SELECT count(*) FROM {leaf(acme).name}")


def test_each_space_has_an_index_for_as_long_as_it_has_vectors(place):
    acme = place("acme")
    fill(acme, LARGE)
    partitions.tend()
    first = {name for name in indexes(acme) if "vectors" in name}
    assert len(first) == 1
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        newer = Space.objects.create(tenant_id=tenant_id, name="words@2", dimensions=64)
        for row in Embedding.objects.all():
            row.id, row.space = uuid7(), newer
            row.save(force_insert=True)
    partitions.tend()
    both = {name for name in indexes(acme) if "vectors" in name}
    assert {name.split("_")[2] for name in both - first} == {newer.id.hex}
    with acting_for(acme.tenant.id), tenant_scope():
        Embedding.objects.exclude(space=newer).delete()
    partitions.tend()
    assert {name for name in indexes(acme) if "vectors" in name} == both - first


def test_an_index_is_built_again_when_its_clusters_no_longer_fit(place, monkeypatch):
    monkeypatch.setattr("knowledge.partitions.indexes._ROWS_A_CLUSTER", 5)
    acme = place("acme")
    store = fill(acme, LARGE)
    partitions.tend()
    assert {name.rsplit("_", 1)[1] for name in indexes(acme) if "vectors" in name} == {"6"}
    fill(acme, LARGE + 8, start=LARGE, store=store)
    partitions.tend()
    assert {name.rsplit("_", 1)[1] for name in indexes(acme) if "vectors" in name} == {"14"}


@pytest.mark.parametrize("step", ["_reference", "tend_indexes", "_hold_writers", "_lock_bucket"])
def test_a_move_that_is_killed_leaves_all_as_it_was_and_the_next_run_makes_it(place, monkeypatch, step):
    acme = place("acme")
    store = fill(acme, LARGE)
    before = found(acme, store)
    real: Callable = getattr(moves, step)

    def killed(cursor, *args, **kwargs):
        done = real(cursor, *args, **kwargs)
        end_session_of(cursor)
        return done

    with monkeypatch.context() as patch:
        patch.setattr(moves, step, killed)
        with pytest.raises(OperationalError):
            partitions.tend()
    connections["owner"].close()
    assert not is_own(acme.tenant.id)
    assert found(acme, store) == before
    assert violations("default") == []  # the half-made copy is as closed as any table
    detach_last(acme, store)  # nor is it in the way of a deletion
    fill(acme, 1, start=LARGE, store=store)
    before = found(acme, store)
    partitions.tend()
    with connections["owner"].cursor() as cursor:
        assert own_leaves(cursor, VECTORS, attached=False) == []
    assert is_own(acme.tenant.id)
    assert found(acme, store) == before


def detach_last(member, store):
    with acting_for(member.tenant.id):
        with tenant_scope():
            last = VectorStoreFile.objects.filter(store=store).latest("created_at", "id")
        attachments.detach(store_id=store.id, file_id=last.file_id, by=COMMAND_LINE)
        purge()


def end_session_of(cursor):
    """As if its process had been killed."""
    with psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"]) as superuser:
        cursor.execute("SELECT pg_backend_pid()")
        superuser.execute("SELECT pg_terminate_backend(%s, 5000)", cursor.fetchone())


def test_two_runs_do_not_meet(place):
    name = connections["owner"].settings_dict["NAME"]
    with psycopg.connect(os.environ["OWNER_DATABASE_URL"], dbname=name) as other:
        other.execute("SELECT pg_advisory_lock(%s)", [partitions.upkeep._RUN])
        assert partitions.tend() is None


def test_only_the_owner_moves_anything(place, monkeypatch, settings):
    acme = place("acme")
    fill(acme, LARGE)
    monkeypatch.setitem(connections["owner"].settings_dict, "USER", "atrium_app")
    connections["owner"].close()
    try:
        with pytest.raises(partitions.NotOwner):
            partitions.tend()
    finally:
        monkeypatch.undo()
        connections["owner"].close()


def test_a_move_waits_for_a_reader_of_its_bucket_and_is_left_for_later_if_that_stays(place, monkeypatch):
    monkeypatch.setattr(moves, "_TRIES", 2)
    monkeypatch.setattr(moves, "_PAUSE_SECONDS", 0.01)
    acme = place("acme")
    store = fill(acme, LARGE)
    before = found(acme, store)
    name = connections["owner"].settings_dict["NAME"]
    with psycopg.connect(os.environ["SUPERUSER_DATABASE_URL"], dbname=name) as reader:
        for table in ("knowledge_embedding", "knowledge_chunkterms"):
            reader.execute(f"SELECT count(*) FROM {table}")
        done = partitions.tend()
    assert done.undone == [leaf(acme).name]
    assert found(acme, store) == before
    assert partitions.tend().own == [leaf(acme).name]


def test_search_is_right_while_rows_move_and_both_tenants_write(place, settings):
    """Readers compare each answer with what must be in it; writers add and remove meanwhile."""
    acme, globex = place("acme"), place("globex")
    stores = {acme: fill(acme, LARGE), globex: fill(globex, 16)}
    stop, wrong, asked = threading.Event(), [], {"acme": 0, "globex": 0}
    kept = {acme: LARGE, globex: 16}

    def read(member):
        try:
            while not stop.is_set():
                with acting_for(member.tenant.id):
                    passages = search(store_ids=[stores[member].id], query=TOPICS[0], limit=50, ranker="dense").passages
                numbers = {
                    passage.attributes["number"] for passage in passages if passage.attributes["number"] < kept[member]
                }
                wanted = min(kept[member], 50)
                if len(passages) < wanted or not set(range(0, kept[member], len(TOPICS))) <= numbers:
                    wrong.append((member.tenant.slug, len(passages), sorted(numbers)))
                if len({passage.chunk_id for passage in passages}) != len(passages):
                    wrong.append((member.tenant.slug, "a passage twice"))
                asked[member.tenant.slug] += 1
        except Exception as error:  # noqa: BLE001  a thread's exception would be lost
            wrong.append(error)
        finally:
            connections.close_all()

    def write(member):
        number = 1000
        try:
            while not stop.is_set():
                fill(member, 2, start=number, store=stores[member])
                with acting_for(member.tenant.id):
                    with tenant_scope():
                        rows = VectorStoreFile.objects.filter(store=stores[member], attributes__number__gte=1000)
                        file_id = rows.values_list("file_id", flat=True).first()
                    if file_id:
                        attachments.detach(store_id=stores[member].id, file_id=file_id, by=COMMAND_LINE)
                number += 2
        except Exception as error:  # noqa: BLE001
            wrong.append(error)
        finally:
            connections.close_all()

    threads = [threading.Thread(target=task, args=(member,)) for task in (read, write) for member in stores]
    for thread in threads:
        thread.start()
    moved, deadline = 0, time.monotonic() + 60
    while time.monotonic() < deadline and (moved < 3 or min(asked.values()) <= 10):
        done = partitions.tend()
        moved += len(done.own) + len(done.shared)
        settings.PARTITION_ROWS_BACK = 10_000 if settings.PARTITION_ROWS_BACK == SMALL else SMALL
        settings.PARTITION_ROWS = 100_000 if settings.PARTITION_ROWS_BACK != SMALL else LARGE
    stop.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert moved >= 2 and min(asked.values()) > 10
