"""Files are found by their names: any part of a recent one, the beginning of every one."""

from datetime import UTC, datetime
from uuid import UUID

import pytest

from knowledge import file_names
from knowledge.file_names import named
from knowledge.models import File, VectorStoreFile
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.knowledge.conftest import attach, make_store, upload

OLD, NEW = "Annual Report.pdf", "2026_report.pdf"


@pytest.fixture
def two(acme: Member, monkeypatch: pytest.MonkeyPatch) -> tuple[UUID, UUID]:
    """An old file and a recent one, as if no more than one were recent."""
    monkeypatch.setattr(file_names, "NEWEST", 1)
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        old, new = (
            File.objects.create(
                tenant_id=tenant_id, filename=name, bytes=1, mime_type="application/pdf", sha256="", storage_key="",
                purpose="assistants", created_at=datetime.now(UTC),
            ).id
            for name in (OLD, NEW)
        )  # fmt: skip
    return old, new


@pytest.mark.parametrize(
    ("words", "found"),
    [("annual r", "old"), ("REPORT", "new"), ("2026", "new"), ("_", "new"), ("%", ""), ("nothing", "")],
)
def test_the_beginning_of_any_and_a_part_of_the_newest(
    acme: Member, two: tuple[UUID, UUID], words: str, found: str
) -> None:
    with acting_for(acme.tenant.id), tenant_scope():
        rows = named(File.objects.all(), words)
        assert [row.id for row in rows] == [
            ident for ident, age in zip(two, ("old", "new"), strict=True) if age == found
        ]


def test_of_many_none_is_left_out(acme: Member, two: tuple[UUID, UUID], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_names, "MOST_FOUND", 1)
    with acting_for(acme.tenant.id):
        third = upload("text", "Annual accounts.txt").id
        with tenant_scope():
            assert {row.id for row in named(File.objects.all(), "annual")} == {two[0], third}


def test_names_lead_to_what_hangs_on_files(acme: Member) -> None:
    with acting_for(acme.tenant.id):
        attached = attach(make_store(), upload("text", "notes.txt"))
        attach(make_store(), upload("text", "other.txt"))
        with tenant_scope():
            assert named(VectorStoreFile.objects.all(), "Note", file="file__", key="file_id").get() == attached
