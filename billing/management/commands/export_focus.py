"""`manage.py export_focus`: a FOCUS 1.4 file of a month or a span of days, of all tenants or one, without a worker."""

from argparse import ArgumentParser, ArgumentTypeError
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from billing.exports import PLATFORM, Wanted, write_file
from billing.exports.wanted import WIDTHS, Format, Kind, check_period
from billing.reservations import plain
from tenants.command_line import OperatorCommand
from tenants.errors import InvalidRequest
from tenants.registry import require_tenant
from tenants.scope import acting_for


def _month(text: str) -> tuple[datetime, datetime]:
    first = _parsed(text, "%Y-%m", "a month like 2026-11")
    return first, (first + timedelta(days=32)).replace(day=1)


def _day(text: str) -> datetime:
    return _parsed(text, "%Y-%m-%d", "a day like 2026-11-30")


def _parsed(text: str, form: str, what: str) -> datetime:
    try:
        return datetime.strptime(text, form).replace(tzinfo=UTC)
    except ValueError as error:
        raise ArgumentTypeError(f"'{text}' is not {what}") from error


class Command(OperatorCommand):
    """See the module's docstring."""

    help = "Write a FOCUS 1.4 file (Cost and Usage) of all tenants, or of one as that tenant sees it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Which period, whose, where to."""
        super().add_arguments(parser)
        parser.add_argument("--month", type=_month, help="such as 2026-11 (UTC)")
        parser.add_argument("--from", type=_day, dest="first", help="the first day (UTC), instead of a month")
        parser.add_argument("--until", type=_day, help="the day after the last one")
        parser.add_argument("--tenant", help="a slug; all tenants where missing, as the platform sees them")
        parser.add_argument("--format", choices=[Format.CSV, Format.PARQUET], default=Format.CSV)
        parser.add_argument("--bucket-width", choices=list(WIDTHS), default="1d", help="the length of charge periods")
        parser.add_argument("--output", type=Path, required=True, help="the file; replaced when it is whole")

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Write beside the file, and take its place: whoever reads it finds the old one or the new, never a half."""
        start, end = options["month"] or (options["first"], options["until"])
        if start is None or end is None or (options["month"] and (options["first"] or options["until"])):
            raise InvalidRequest("Give --month, or --from and --until.")
        check_period(start=start, end=end)
        reader = require_tenant(options["tenant"]) if options["tenant"] else PLATFORM
        wanted = Wanted(kind=Kind.FOCUS, start=start, end=end, bucket_width=options["bucket_width"])
        output: Path = options["output"]
        part = output.with_name(f"{output.name}.part")
        try:
            with acting_for(reader), part.open("w+b") as file:
                made = write_file(wanted, format=options["format"], to=file)
            part.replace(output)
        finally:
            part.unlink(missing_ok=True)
        totals = ", ".join(f"{plain(cost)} {currency}" for currency, cost in sorted(made.totals.items()))
        return {"file": str(output), "rows": made.rows, "bytes": made.bytes, "sha256": made.sha256, "costs": totals}
