"""Plans, the limits they bring, and budgets."""

from decimal import Decimal

import pytest

from billing.budgets.setting import BudgetConflict, set_budget
from billing.models import Budget, Plan, Subscription
from billing.plans import current_plan
from tenants.audit import COMMAND_LINE
from tenants.errors import InvalidRequest
from tenants.models import ApiKey, AuditEvent, Tenant
from tenants.registry import create_tenant
from tenants.scope import acting_for, as_staff, tenant_scope


def test_a_new_tenant_is_on_the_standard_plan(acme):
    with acting_for(acme.tenant.id):
        assert current_plan().slug == "standard"


def test_a_new_tenant_may_be_on_another_plan(db):
    tenant = create_tenant(slug="big", name="Big", by=COMMAND_LINE, options={"plan": "scale"})
    with acting_for(tenant.id):
        assert current_plan().slug == "scale"


def test_an_unknown_plan_is_refused_and_no_tenant_is_left(db):
    with pytest.raises(InvalidRequest, match=r"No plan 'gold'\. Known: scale, standard"):
        create_tenant(slug="big", name="Big", by=COMMAND_LINE, options={"plan": "gold"})
    create_tenant(slug="big", name="Big", by=COMMAND_LINE)


def test_a_plans_budget_and_retention_come_with_it(committed):
    with as_staff():
        Plan.objects.create(
            slug="trial", name="Trial", requests_per_minute=1, tokens_per_minute=1, concurrent_calls=1, monthly_budget=5,
            content_retention_days=7,
        )  # fmt: skip
    try:
        tenant = create_tenant(slug="try", name="Try", by=COMMAND_LINE, options={"plan": "trial"})
        with acting_for(tenant.id), tenant_scope():
            assert list(Budget.objects.values_list("name", "limit", "currency")) == [("monthly", Decimal(5), "USD")]
            Subscription.objects.all().delete()
        assert tenant.content_retention_days == 7
        said = create_tenant(slug="s", name="S", by=COMMAND_LINE, content_retention_days=0, options={"plan": "trial"})
        assert said.content_retention_days == 0
        with acting_for(said.id), tenant_scope():
            Subscription.objects.all().delete()
    finally:
        with as_staff():
            Plan.objects.filter(slug="trial").delete()


def budget(limit, **options):
    return set_budget(**{"name": "monthly", "currency": "USD", "by": COMMAND_LINE, "limit": Decimal(limit), **options})


def test_setting_a_budget_again_changes_it_and_is_audited(acme):
    with acting_for(acme.tenant.id):
        assert budget("5.00").id == budget("7.50").id
        with tenant_scope():
            assert Budget.objects.get().limit == Decimal("7.50")
            changes = AuditEvent.objects.filter(action="budget.set").order_by("id").values_list("changes", flat=True)
            assert [change["limit"] for change in changes] == [[None, "5.00"], ["5.000000000000", "7.50"]]


@pytest.mark.parametrize("limit", ["-0.01", "NaN", "Infinity", "1E+12", "0.0000000000001"])
def test_an_amount_that_cannot_be_kept_is_refused(acme, limit):
    with acting_for(acme.tenant.id), pytest.raises(InvalidRequest, match="limit"):
        budget(limit)


def test_a_budget_is_in_the_tenants_currency(acme):
    with acting_for(acme.tenant.id), pytest.raises(InvalidRequest, match="not billed in EUR"):
        budget("1", currency="EUR")


def test_a_budget_may_limit_one_key(acme):
    with acting_for(acme.tenant.id):
        with tenant_scope():
            key_id = ApiKey.objects.get().id
        assert budget("1", name="key", key_id=key_id).key_id == key_id
        with pytest.raises(BudgetConflict):
            budget("1", name="key")


def test_another_tenants_key_is_no_key(acme, globex):
    with acting_for(globex.tenant.id), tenant_scope():
        foreign = ApiKey.objects.get().id
    with acting_for(acme.tenant.id), pytest.raises(InvalidRequest, match="No such API key"):
        budget("1", key_id=foreign)


def test_a_tenants_currency_is_its_budgets(db):
    tenant = create_tenant(slug="euro", name="Euro", by=COMMAND_LINE, currency="EUR")
    assert isinstance(tenant, Tenant)
    with acting_for(tenant.id):
        assert budget("1", currency="EUR").currency == "EUR"
