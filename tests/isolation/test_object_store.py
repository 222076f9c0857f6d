"""The object store as a stranger: keys carry the tenant, are made from the current one, and lead nowhere else."""

import io
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.exceptions import SuspiciousFileOperation
from django.core.files.base import ContentFile
from django.core.files.storage import default_storage

from knowledge import storage
from knowledge.models import File
from tenants.ids import parse_public_id, uuid7
from tenants.scope import NoTenant, acting_for, tenant_scope
from tests.conftest import Member
from tests.knowledge.conftest import purge

TEXT = b"for acme's eyes only"


@pytest.fixture(autouse=True)
def _files_of_this_test(settings: Any, tmp_path: Path) -> None:
    options = {**settings.STORAGES["default"], "OPTIONS": {"location": tmp_path / "files"}}
    settings.STORAGES = {**settings.STORAGES, "default": options}


def upload(member: Member) -> UUID:
    """A file over REST; returns its id."""
    sent = io.BytesIO(TEXT)
    sent.name = "secret.txt"
    answer = member.client.post("/v1/files", {"file": sent, "purpose": "assistants"}, format="multipart")
    assert answer.status_code == 200
    file_id = parse_public_id("file-", answer.json()["id"])
    assert file_id is not None
    return file_id


def test_a_key_carries_the_tenant_and_stands_in_the_row(acme: Member, tmp_path: Path) -> None:
    file_id = upload(acme)
    with acting_for(acme.tenant.id), tenant_scope():
        row = File.objects.get(id=file_id)
    assert row.storage_key == f"tenants/{acme.tenant.id}/files/{file_id}"
    stored = [
        path.relative_to(tmp_path / "files").as_posix() for path in (tmp_path / "files").rglob("*") if path.is_file()
    ]
    assert stored == [row.storage_key]


def test_the_same_id_in_another_tenant_is_another_object(acme: Member, globex: Member) -> None:
    file_id = upload(acme)
    with acting_for(globex.tenant.id):
        assert not storage.exists(file_id)
        with pytest.raises(storage.ContentMissing):
            storage.read(file_id)
        storage.delete(file_id)
        storage.put(file_id, io.BytesIO(b"globex"))
    with acting_for(acme.tenant.id):
        assert storage.read(file_id) == TEXT
    with acting_for(globex.tenant.id):
        assert storage.read(file_id) == b"globex"


def test_without_a_tenant_there_is_no_key(acme: Member) -> None:
    file_id = upload(acme)
    for use in (storage.key_of, storage.exists, storage.read, storage.delete):
        with pytest.raises(NoTenant):
            use(file_id)


@pytest.mark.parametrize(
    "name", ["../{other}/files/x", "../../tenants/{other}/files/x", "/tenants/{other}/files/x", "a/../../../x"]
)
def test_a_file_name_that_is_a_path_writes_nothing_elsewhere(
    acme: Member, globex: Member, tmp_path: Path, name: str
) -> None:
    sent = io.BytesIO(TEXT)
    sent.name = name.format(other=globex.tenant.id)
    answer = acme.client.post("/v1/files", {"file": sent, "purpose": "assistants"}, format="multipart")
    own = tmp_path / "files" / "tenants" / str(acme.tenant.id)
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert answer.status_code in (200, 400)
    assert all(path.is_relative_to(own) for path in written)


def test_a_row_that_names_another_tenants_key_does_not_open_it(acme: Member, globex: Member) -> None:
    theirs = upload(acme)
    key = f"tenants/{acme.tenant.id}/files/{theirs}"
    with acting_for(globex.tenant.id), tenant_scope() as tenant_id:
        forged = File.objects.create(
            tenant_id=tenant_id, filename="mine.txt", bytes=len(TEXT), mime_type="text/plain", sha256="0" * 64,
            storage_key=key, purpose="assistants",
        )  # fmt: skip
    # The key is made from tenant and id again, never read from the row.
    answer = globex.client.get(f"/v1/files/file-{forged.id.hex}/content")
    assert answer.status_code == 404
    assert globex.client.delete(f"/v1/files/file-{forged.id.hex}").status_code == 200
    with acting_for(acme.tenant.id):
        assert storage.read(theirs) == TEXT


def test_a_path_in_the_place_of_an_id_is_refused(acme: Member, globex: Member) -> None:
    theirs = upload(acme)
    for text in (
        f"file-../{acme.tenant.id}/files/{theirs}",
        f"../../{acme.tenant.id}/files/{theirs}",
        f"tenants/{theirs}",
    ):
        for quoted in (text, text.replace("/", "%2F"), text.replace(".", "%2e").replace("/", "%2F")):
            answer = globex.client.get(f"/v1/files/{quoted}/content")
            assert answer.status_code == 404
            assert TEXT not in answer.content


def test_the_store_itself_refuses_keys_that_lead_out_of_it(db: None) -> None:
    with pytest.raises(SuspiciousFileOperation):
        default_storage.save("tenants/../../outside", ContentFile(b"x"))


def test_deleting_a_file_deletes_its_bytes(acme: Member, django_capture_on_commit_callbacks: Any) -> None:
    file_id, other = upload(acme), uuid7()
    with django_capture_on_commit_callbacks(execute=True):
        assert acme.client.delete(f"/v1/files/file-{file_id.hex}").status_code == 200
    assert purge() == 1
    with acting_for(acme.tenant.id):
        assert not storage.exists(file_id) and not storage.exists(other)
