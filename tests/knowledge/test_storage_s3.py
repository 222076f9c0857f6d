"""The object store on S3 (`STORAGE_BUCKET`), through django-storages, against a real S3 server."""

import io
from collections.abc import Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError

from knowledge import storage
from tenants.ids import uuid7
from tenants.scope import acting_for
from tests.swift.server import ACCESS_KEY_ID, REGION, SECRET_ACCESS_KEY, Swift, swift

BUCKET = "atrium-files"


pytestmark = pytest.mark.s3


@pytest.fixture(scope="module")
def s3() -> Iterator[Swift]:
    with swift() as running:
        running.client().create_bucket(Bucket=BUCKET)
        yield running


@pytest.fixture
def bucket(s3: Swift, settings: Any) -> Any:
    """Files are kept in the bucket, as `STORAGE_BUCKET` has it."""
    options = {
        "bucket_name": BUCKET, "endpoint_url": s3.url, "region_name": REGION, "access_key": ACCESS_KEY_ID,
        "secret_key": SECRET_ACCESS_KEY, "default_acl": None, "file_overwrite": False,
    }  # fmt: skip
    default = {"BACKEND": "storages.backends.s3.S3Storage", "OPTIONS": options}
    settings.STORAGES = {**settings.STORAGES, "default": default}
    return s3.client()


def test_bytes_go_to_the_bucket_and_come_back_until_they_are_deleted(acme: Any, bucket: Any) -> None:
    file_id, body = uuid7(), bytes(range(256)) * 40_000
    with acting_for(acme.tenant.id):
        key = storage.put(file_id, io.BytesIO(body))
        assert bucket.get_object(Bucket=BUCKET, Key=key)["Body"].read() == body
        assert storage.exists(file_id) and storage.read(file_id) == body
        assert storage.read_part(file_id, start=257, length=300) == body[257:557]
        assert storage.read_part(file_id, start=len(body) - 5, length=300) == body[-5:]
        storage.delete(file_id)
        storage.delete(file_id)
        assert not storage.exists(file_id)
        with pytest.raises(storage.ContentMissing):
            storage.read(file_id)
        with pytest.raises(storage.ContentMissing):
            storage.read_part(file_id, start=0, length=1)
    with pytest.raises(ClientError):
        bucket.head_object(Bucket=BUCKET, Key=key)


def test_keys_carry_the_tenant(acme: Any, globex: Any, bucket: Any) -> None:
    file_id = uuid7()
    with acting_for(acme.tenant.id):
        assert storage.put(file_id, io.BytesIO(b"secret")) == f"tenants/{acme.tenant.id}/files/{file_id}"
    with acting_for(globex.tenant.id):
        assert not storage.exists(file_id)


def test_an_upload_and_a_download_through_the_api(acme: Any, bucket: Any) -> None:
    sent = io.BytesIO(b"The heron nests on the northern island.")
    sent.name = "heron.txt"
    file = acme.client.post("/v1/files", {"file": sent, "purpose": "assistants"}, format="multipart").json()
    content = b"".join(acme.client.get(f"/v1/files/{file['id']}/content"))
    assert content == b"The heron nests on the northern island."


def test_a_bucket_that_is_gone_says_try_again(acme: Any, bucket: Any, settings: Any) -> None:
    options = {**settings.STORAGES["default"]["OPTIONS"], "bucket_name": "no-such-bucket"}
    settings.STORAGES = {**settings.STORAGES, "default": {**settings.STORAGES["default"], "OPTIONS": options}}
    with acting_for(acme.tenant.id), pytest.raises(storage.StorageUnavailable):
        storage.put(uuid7(), io.BytesIO(b"x"))
