"""Bytes lie under their tenant's prefix, and no caller can name another's."""

import io

import pytest
from django.core.files.storage import default_storage

from knowledge import storage
from tenants.ids import uuid7
from tenants.scope import NoTenant, acting_for, leave_tenant


def test_bytes_come_back_until_they_are_deleted(acme):
    file_id = uuid7()
    with acting_for(acme.tenant.id):
        assert storage.put(file_id, io.BytesIO(b"abc")) == f"tenants/{acme.tenant.id}/files/{file_id}"
        assert storage.read(file_id) == b"abc" and storage.exists(file_id)
        storage.delete(file_id)
        storage.delete(file_id)
        assert not storage.exists(file_id)
        with pytest.raises(storage.ContentMissing):
            storage.read(file_id)


def test_the_same_id_is_another_file_for_another_tenant(acme, globex):
    file_id = uuid7()
    with acting_for(acme.tenant.id):
        storage.put(file_id, io.BytesIO(b"secret"))
    with acting_for(globex.tenant.id):
        assert not storage.exists(file_id)
        storage.delete(file_id)
    with acting_for(acme.tenant.id):
        assert storage.read(file_id) == b"secret"


def test_without_a_tenant_there_is_no_key(db):
    with leave_tenant(), pytest.raises(NoTenant):
        storage.key_of(uuid7())


@pytest.mark.parametrize("operation", ["save", "open", "delete"])
def test_a_store_that_is_away_says_try_again(acme, monkeypatch, operation):
    def away(*args, **kwargs):
        raise ConnectionError

    default_storage.exists("")  # it is lazy: only a used one can be patched
    monkeypatch.setattr(default_storage._wrapped, operation, away)
    calls = {
        "save": lambda: storage.put(uuid7(), io.BytesIO(b"")),
        "open": lambda: storage.read(uuid7()),
        "delete": lambda: storage.delete(uuid7()),
    }
    with acting_for(acme.tenant.id), pytest.raises(storage.StorageUnavailable):
        calls[operation]()
