"""What clients send and see of reports and schedules."""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from drf_spectacular.utils import OpenApiParameter
from rest_framework import serializers
from rest_framework.request import Request

from tenants.errors import InvalidRequest
from tenants.ids import parse_public_id, public_id

from ..models import Report, ReportSchedule
from . import links, requests, schedules
from .wanted import DIMENSIONS, WIDTHS, Wanted

_NAMES = tuple(WIDTHS)
PAGING = [OpenApiParameter(name) for name in ("after", "before", "limit", "order")]
_LATEST = 253_402_300_799  # the last second of the year 9999


class ShapeRequest(serializers.Serializer):
    """What shall stand in the file."""

    kind = serializers.ChoiceField(Report.Kind.choices, help_text="`focus`: FOCUS 1.4, Cost and Usage.")
    format = serializers.ChoiceField(Report.Format.choices, default="csv", help_text="FOCUS has no `xlsx`.")
    bucket_width = serializers.ChoiceField(_NAMES, default="1d", help_text="Of usage, costs and focus (UTC).")
    group_by = serializers.ListField(
        child=serializers.ChoiceField(DIMENSIONS),
        default=lambda: list(Wanted.group_by),
        help_text="Of usage and costs, beside the meter.",
    )
    models = serializers.ListField(child=serializers.CharField(max_length=200), default=list, max_length=100)
    api_key_ids = serializers.ListField(child=serializers.CharField(), default=list, max_length=100)


class PeriodRequest(serializers.Serializer):
    """Which time it covers: five years at most."""

    start_time = serializers.IntegerField(min_value=0, max_value=_LATEST, help_text="Unix seconds, inclusive.")
    end_time = serializers.IntegerField(
        min_value=0, max_value=_LATEST, required=False, help_text="Unix seconds, exclusive; now where missing."
    )


class OverTenants(serializers.Serializer):
    """What the platform can say beside."""

    project_ids = serializers.ListField(
        child=serializers.CharField(), default=list, max_length=100, help_text="Tenants; all where empty."
    )


class ReportRequest(PeriodRequest, ShapeRequest):
    """A report to be made."""


class PlatformReportRequest(OverTenants, ReportRequest):
    """A report over all tenants to be made."""


class ScheduleRequest(ShapeRequest):
    """A report to be made again and again."""

    name = serializers.CharField(max_length=100)
    every = serializers.ChoiceField(ReportSchedule.Every.choices, help_text="Weeks begin on Monday; all is UTC.")


class PlatformScheduleRequest(OverTenants, ScheduleRequest):
    """A report over all tenants to be made again and again."""


class ScheduleChange(serializers.Serializer):
    """Pause it, or let it go on."""

    active = serializers.BooleanField()


class ReportObject(serializers.Serializer):
    """A report, and a link to its file where there is one."""

    class Total(serializers.Serializer):
        """What the lines behind the file cost, exactly."""

        currency = serializers.CharField()
        cost = serializers.CharField()

    class Reason(serializers.Serializer):
        """Why it failed."""

        code = serializers.CharField()
        message = serializers.CharField()

    id = serializers.CharField()
    object = serializers.CharField(default="report")
    kind = serializers.ChoiceField(Report.Kind.choices)
    format = serializers.ChoiceField(Report.Format.choices)
    status = serializers.ChoiceField(Report.State.choices)
    progress = serializers.IntegerField(help_text="Per cent of the period.")
    start_time = serializers.IntegerField()
    end_time = serializers.IntegerField()
    bucket_width = serializers.ChoiceField(_NAMES)
    group_by = serializers.ListField(child=serializers.CharField())
    models = serializers.ListField(child=serializers.CharField())
    api_key_ids = serializers.ListField(child=serializers.CharField())
    project_ids = serializers.ListField(child=serializers.CharField())
    schedule_id = serializers.CharField(allow_null=True)
    rows = serializers.IntegerField(allow_null=True)
    bytes = serializers.IntegerField(allow_null=True)
    sha256 = serializers.CharField(allow_null=True, help_text="Of the file, in hexadecimal digits.")
    totals = Total(many=True)
    error = Reason(allow_null=True)
    created_at = serializers.IntegerField()
    completed_at = serializers.IntegerField(allow_null=True)
    expires_at = serializers.IntegerField(allow_null=True, help_text="When the file is removed.")
    download_url = serializers.CharField(allow_null=True, help_text="Opens the file without a key, for an hour.")
    download_expires_at = serializers.IntegerField(allow_null=True)


class DeletedReport(serializers.Serializer):
    """What was removed."""

    id = serializers.CharField()
    object = serializers.CharField()
    deleted = serializers.BooleanField()


class ScheduleObject(serializers.Serializer):
    """A schedule."""

    id = serializers.CharField()
    object = serializers.CharField(default="report_schedule")
    name = serializers.CharField()
    every = serializers.ChoiceField(ReportSchedule.Every.choices)
    active = serializers.BooleanField()
    kind = serializers.ChoiceField(Report.Kind.choices)
    format = serializers.ChoiceField(Report.Format.choices)
    bucket_width = serializers.ChoiceField(_NAMES)
    group_by = serializers.ListField(child=serializers.CharField())
    models = serializers.ListField(child=serializers.CharField())
    api_key_ids = serializers.ListField(child=serializers.CharField())
    project_ids = serializers.ListField(child=serializers.CharField())
    next_start = serializers.DateField(help_text="First day of the next period to be reported.")
    due_at = serializers.IntegerField()
    created_at = serializers.IntegerField()


def valid(shape: type[serializers.Serializer], request: Request) -> dict[str, Any]:
    """The request's body, read as `shape`; DRF's ValidationError where it is none."""
    asked = shape(data=request.data)
    asked.is_valid(raise_exception=True)
    return asked.validated_data


def wanted_of_request(asked: dict[str, Any], start: datetime, end: datetime) -> Wanted:
    """What a `ShapeRequest` asks for, in a period."""
    return Wanted(
        kind=asked["kind"],
        start=start,
        end=end,
        bucket_width=asked["bucket_width"],
        group_by=tuple(asked["group_by"]),
        models=tuple(asked["models"]),
        key_ids=_ids("key_", asked["api_key_ids"], "api_key_ids"),
        tenant_ids=_ids("tenant_", asked.get("project_ids", ()), "project_ids"),
    )


def _ids(prefix: str, texts: Iterable[str], param: str) -> tuple[UUID, ...]:
    found = [parse_public_id(prefix, text) for text in texts]
    if None in found:
        raise InvalidRequest(f"Invalid '{param}': each is an id like '{prefix}…'.", param=param)
    return tuple(ident for ident in found if ident is not None)


def moment(seconds: int) -> datetime:
    """Unix seconds as a time."""
    return datetime.fromtimestamp(seconds, UTC)


def shaped(report: Report, request: Request) -> dict[str, Any]:
    """A `ReportObject`."""
    link = links.link_to(report, now=datetime.now(UTC))
    return {
        **requests.report_json(report),
        "download_url": request.build_absolute_uri(f"/v1/report_files/{link.token}") if link else None,
        "download_expires_at": int(link.expires_at.timestamp()) if link else None,
    }


def shaped_schedule(schedule: ReportSchedule) -> dict[str, Any]:
    """A `ScheduleObject`."""
    return {
        "id": public_id(schedules.PREFIX, schedule.id),
        "object": "report_schedule",
        "name": schedule.name,
        "every": schedule.every,
        "active": schedule.active,
        "kind": schedule.kind,
        "format": schedule.format,
        **requests.options_json(schedule.options),
        "next_start": schedule.next_start.isoformat(),
        "due_at": int(schedule.due_at.timestamp()),
        "created_at": int(schedule.created_at.timestamp()),
    }
