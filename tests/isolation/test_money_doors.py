"""globex's owner tries acme's reports and statements through the desk's pages of money; each answers as for a missing id."""

from datetime import UTC, datetime

from django.urls import reverse

from billing.models import Budget, Report, Statement
from tenants.ids import uuid7
from tenants.scope import acting_for, tenant_scope
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]

MARK = "acmemark"
DOORS = {"report_progress": Report, "billing_statement_csv": Statement, "billing_statement_json": Statement}


def test_reports_and_statements_of_others_are_not_there(acme, globex):
    with acting_for(acme.tenant.id), tenant_scope() as tenant_id:
        own = {"tenant_id": tenant_id}
        when = {"start": datetime(2026, 1, 1, tzinfo=UTC), "end": datetime(2026, 2, 1, tzinfo=UTC)}
        asked = {"asked_by_type": "x", "asked_by_id": MARK, "options": {}}
        Report.objects.create(**own, **when, **asked, kind="costs", format="csv")
        Statement.objects.create(
            **own, period_start="2026-01-01", currency="USD", usage=1, corrections=0, credits=0, total=1, records=1,
            closed_by_type=MARK, closed_by_id=MARK, closed_at=datetime.now(UTC),
        )  # fmt: skip
        Budget.objects.create(**own, name=MARK, limit=5, currency="USD")
        ids = {model: model.objects.get().pk for model in (Report, Statement)}
    stranger, member = desk(seat(globex, "owner")), desk(seat(acme, "owner"))
    for door, model in DOORS.items():
        answers = {}
        for ident in (ids[model], uuid7()):
            answer = stranger.get(reverse(f"admin:{door}", args=[ident]))
            answers[ident] = (answer.status_code, answer.content.decode().replace(str(ident), ""))
        assert len(set(answers.values())) == 1 and answers[ids[model]][0] == 404, door
        assert member.get(reverse(f"admin:{door}", args=[ids[model]])).status_code == 200, door
    for page in ("home", "usage", "limits", "upcoming_statement"):
        assert MARK not in stranger.get(reverse(f"admin:{page}")).content.decode(), page
