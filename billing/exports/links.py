"""Download links: a signed path that opens one report's file for an hour, for a browser that has no key.

Who has the link has the file until then, unless the report is deleted or its tenant is suspended.
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from uuid import UUID

from django.core import signing
from django.core.files import File

from tenants import object_store
from tenants.errors import AtriumError, NotFound
from tenants.ids import public_id
from tenants.models import Tenant
from tenants.scope import current_tenant, tenant_scope

from ..models import Report
from .requests import PREFIX, find_report
from .wanted import PLATFORM, Format

LIFE = timedelta(hours=1)
_SALT = "billing.exports.links"
_TYPES = {
    Format.CSV: "text/csv; charset=utf-8",
    Format.XLSX: "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
    Format.PARQUET: "application/vnd.apache.parquet",
}


class LinkExpired(AtriumError):
    """The link was right once."""

    status = 410
    type = "invalid_request_error"
    code = "link_expired"


class ReportNotReady(AtriumError):
    """There is no file: not yet, not any more, or never."""

    status = 409
    type = "invalid_request_error"
    code = "report_not_ready"


@dataclass(frozen=True)
class Link:
    """What opens a report's file until `expires_at`."""

    token: str
    expires_at: datetime


@dataclass(frozen=True)
class Download:
    """A report's file, for the caller to close."""

    content: File
    filename: str
    content_type: str
    size: int


def link_to(report: Report, *, now: datetime) -> Link | None:
    """A new link; None where there is no file."""
    if report.state != Report.State.COMPLETED or report.expires_at is None:
        return None
    ends = min(now + LIFE, report.expires_at).replace(microsecond=0)
    token = signing.dumps([report.tenant_id.hex, report.id.hex, int(ends.timestamp())], salt=_SALT)
    return Link(token, ends)


def read_link(token: str, *, now: datetime) -> tuple[UUID, UUID]:
    """(tenant, report) that a link names; the edge then acts for the tenant.

    Raises:
        NotFound: nobody signed it.
        LinkExpired: its time is over.
    """
    try:
        tenant, report, ends = signing.loads(token, salt=_SALT)
    except signing.BadSignature as error:
        raise NotFound("No such link.") from error
    if now >= datetime.fromtimestamp(ends, UTC):
        raise LinkExpired("This link has expired. Ask for the report again: its answer has a new one.")
    return UUID(hex=tenant), UUID(hex=report)


def open_report(report_id: UUID | None) -> Download:
    """The file of one of the current tenant's reports.

    Raises:
        NotFound: no such report, or its tenant is out of service.
        ReportNotReady: it has no file.
        StorageUnavailable: try again.
    """
    report = find_report(report_id)
    _check_in_service()
    if report.state != Report.State.COMPLETED:
        raise ReportNotReady(f"The report has no file: it is {report.state}.", data={"status": report.state})
    try:
        content = object_store.open_content(report.stored_as)
    except object_store.ContentMissing as error:
        raise NotFound("No such report.") from error
    days = f"{report.start:%Y-%m-%d}_{report.end:%Y-%m-%d}"
    return Download(
        content=content,
        filename=f"{report.kind}_{days}_{public_id(PREFIX, report.id)}.{report.format}",
        content_type=_TYPES[Format(report.format)],
        size=report.bytes or 0,
    )


def _check_in_service() -> None:
    if current_tenant() == PLATFORM:
        return
    with tenant_scope() as tenant_id:
        if not Tenant.objects.filter(id=tenant_id, status=Tenant.Status.ACTIVE).exists():
            raise NotFound("No such report.")
