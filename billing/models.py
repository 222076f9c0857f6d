"""How much: plans, prices, budgets, reservations and the append-only ledger.

Amounts are exact decimals of one currency; a price is per `per` units of its meter. Ledger rows carry opaque ids and
no foreign keys to rows that can be erased.
"""

from decimal import Decimal

from django.core.validators import MinValueValidator
from django.db import models
from django.db.models.functions import Now

from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.models import Tenant
from tenants.row_security import TenantForeignKey, TenantOwned


class Meter(models.TextChoices):
    """What is counted. Meters of one call never count the same token twice."""

    #: Input that the provider did not find in its prompt cache.
    INPUT_TOKENS = "input_tokens"
    #: Input that it did find there; at the input price where the model has no price of its own for it.
    CACHED_INPUT_TOKENS = "cached_input_tokens"
    #: What the model answered.
    OUTPUT_TOKENS = "output_tokens"
    #: What it wrote for itself before; at the output price where the model has no price of its own for it.
    REASONING_TOKENS = "reasoning_tokens"
    EMBEDDING_TOKENS = "embedding_tokens"
    #: Answers from the response cache, each at the price that plan or contract have for it.
    CACHE_HITS = "cache_hits"
    #: Texts that a moderation model looked at.
    MODERATION_CALLS = "moderation_calls"
    #: A call whose worker died after dispatch: charged at its hold until the provider's bill says more.
    UNRECONCILED = "unreconciled"


def money(**options: object) -> models.DecimalField:
    """A column for amounts: 12 digits before the point and 12 after it."""
    return models.DecimalField(max_digits=24, decimal_places=12, **options)  # type: ignore[arg-type]


class Plan(models.Model):
    """What a customer bought: limits, the fair share of workers."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    requests_per_minute = models.PositiveIntegerField()
    tokens_per_minute = models.PositiveIntegerField()
    concurrent_calls = models.PositiveIntegerField()
    weight = models.PositiveSmallIntegerField(default=1, validators=[MinValueValidator(1)])
    monthly_budget = money(
        null=True, blank=True, help_text="A hard tenant budget a new tenant of this plan starts with."
    )

    app_may = ("SELECT",)

    def __str__(self) -> str:
        return self.name


class Subscription(TenantModel):
    """The plan a tenant is on."""

    plan = models.ForeignKey(Plan, on_delete=models.PROTECT)

    class Meta:
        constraints = [
            TenantOwned(name="billing_subscription_owned"),
            models.UniqueConstraint(fields=["tenant"], name="billing_subscription_once"),
        ]


class PriceBase(models.Model):
    """What every price row says. Rows are never changed: a new price is a new row with a later `valid_from`."""

    model = models.CharField(max_length=200)
    meter = models.CharField(max_length=32, choices=Meter)
    currency = models.CharField(max_length=3)
    amount = money(validators=[MinValueValidator(Decimal(0))])
    per = models.PositiveIntegerField(default=1_000_000, help_text="Units of the meter that `amount` buys.")
    valid_from = models.DateTimeField()

    class Meta:
        abstract = True

    def __str__(self) -> str:
        return f"{self.model} {self.meter}: {self.amount:f} {self.currency} per {self.per}"


class Price(PriceBase):
    """A list price, or one of a plan."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, null=True, blank=True)

    app_may = ("SELECT",)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["plan", "model", "meter", "currency", "valid_from"],
                nulls_distinct=False,
                name="billing_price_once",
            )
        ]


class TenantPrice(PriceBase, TenantModel):
    """A contracted price: goes before the plan's, which goes before the list's."""

    app_may = ("SELECT", "INSERT")

    class Meta:
        constraints = [
            TenantOwned(name="billing_tenantprice_owned"),
            models.UniqueConstraint(
                fields=["tenant", "model", "meter", "currency", "valid_from"], name="billing_tenantprice_once"
            ),
        ]


class Budget(TenantModel):
    """A hard limit on spend per calendar month (UTC), of the tenant or of one of its keys."""

    name = models.CharField(max_length=100)
    key_id = models.UUIDField(null=True, blank=True, help_text="Empty: all of the tenant's keys.")
    limit = money(validators=[MinValueValidator(Decimal(0))])
    currency = models.CharField(max_length=3)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    class Meta:
        constraints = [
            TenantOwned(name="billing_budget_owned"),
            models.UniqueConstraint(fields=["tenant", "name"], name="billing_budget_name"),
            models.CheckConstraint(condition=models.Q(limit__gte=0), name="billing_budget_not_negative"),
        ]

    def __str__(self) -> str:
        return self.name


class BudgetAccount(TenantModel):
    """A budget's month: what is spent, and what is held by calls under way."""

    budget = models.ForeignKey(Budget, on_delete=models.CASCADE, db_constraint=False, related_name="accounts")
    period_start = models.DateField()
    spent = money(db_default=Decimal(0))
    held = money(db_default=Decimal(0))

    class Meta:
        constraints = [
            TenantOwned(name="billing_budgetaccount_owned"),
            TenantForeignKey(name="billing_budgetaccount_budget", field="budget"),
            models.UniqueConstraint(fields=["tenant", "budget", "period_start"], name="billing_budgetaccount_once"),
            models.CheckConstraint(
                condition=models.Q(spent__gte=0, held__gte=0), name="billing_budgetaccount_not_negative"
            ),
        ]


class Reservation(TenantModel):
    """A hold on every budget above a caller, taken before money can be spent and settled once."""

    class State(models.TextChoices):
        OPEN = "open"
        SETTLED = "settled"
        RELEASED = "released"
        UNKNOWN = "unknown"

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    parent_id = models.UUIDField(null=True, help_text="The reservation with which this one ends at the latest.")
    children = models.PositiveSmallIntegerField(default=0, db_default=0, help_text="Holds taken under this one.")
    request_id = models.UUIDField(help_text="The generation or job it pays for.")
    key_id = models.UUIDField(null=True)
    operation = models.CharField(max_length=32)
    end_user = models.CharField(max_length=200, default="", db_default="")
    state = models.CharField(max_length=8, choices=State, default=State.OPEN, db_default=State.OPEN)
    hold = money()
    currency = models.CharField(max_length=3)
    prices = models.JSONField(help_text="The price rows in force at reservation: [{model, meter, id, amount, per}].")
    accounts = models.JSONField(default=list, help_text="The budget accounts that hold it.")
    period_start = models.DateField()
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    dispatched_at = models.DateTimeField(null=True)
    expires_at = models.DateTimeField()
    settled_at = models.DateTimeField(null=True)

    definer_may = ("SELECT",)

    class Meta:
        constraints = [TenantOwned(name="billing_reservation_owned")]
        indexes = [
            models.Index(fields=["expires_at"], name="billing_reservation_open", condition=models.Q(state="open")),
            models.Index(
                fields=["tenant", "parent_id"],
                name="billing_reservation_children",
                condition=models.Q(parent_id__isnull=False),
            ),
        ]


class UsageRecord(TenantModel):
    """One line of the ledger. Append-only: a correction is a new row that names what it corrects."""

    tenant = models.ForeignKey(Tenant, on_delete=models.DO_NOTHING, db_index=False, db_constraint=False, editable=False)
    reservation_id = models.UUIDField()
    request_id = models.UUIDField()
    attempt = models.PositiveSmallIntegerField()
    operation = models.CharField(max_length=32)
    model = models.CharField(max_length=200)
    meter = models.CharField(max_length=32, choices=Meter)
    quantity = models.BigIntegerField()
    price_id = models.UUIDField(null=True)
    unit_price = money()
    per = models.PositiveIntegerField()
    cost = money(help_text="What the tenant is charged: exact, rounded once, never above the hold.")
    variance = money(db_default=Decimal(0), help_text="What usage above the hold cost; the platform bears it.")
    estimated = models.BooleanField(
        default=False, db_default=False, help_text="The quantity is our own count: the provider gave none."
    )
    currency = models.CharField(max_length=3)
    key_id = models.UUIDField(null=True)
    end_user = models.CharField(max_length=200, default="", db_default="")
    period_start = models.DateField()
    occurred_at = models.DateTimeField(db_default=Now())
    corrects = models.UUIDField(null=True)

    app_may = ("SELECT", "INSERT")
    definer_may = ("SELECT",)

    class Meta:
        constraints = [
            TenantOwned(name="billing_usagerecord_owned"),
            models.UniqueConstraint(
                fields=["tenant", "request_id", "attempt", "meter"],
                condition=models.Q(corrects=None),
                name="billing_usagerecord_once",
            ),
        ]
        indexes = [models.Index(fields=["tenant", "occurred_at"], name="billing_usage_by_time")]


class Variance(models.Model):
    """What usage above holds cost the platform, by model, tenant and currency. Written by `book_variance` alone."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    model = models.CharField(max_length=200)
    pseudonym = models.UUIDField(help_text="The tenant's id, which names nobody once the tenant is erased.")
    currency = models.CharField(max_length=3)
    amount = money()
    calls = models.PositiveIntegerField()

    app_may: tuple[str, ...] = ()
    definer_may = ("SELECT", "INSERT", "UPDATE")

    class Meta:
        abstract = True


class VarianceAccount(Variance):
    """A day's (UTC): all of them together are the variance of the ledger's lines, exactly."""

    day = models.DateField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["day", "model", "pseudonym", "currency"], name="billing_variance_once")
        ]


class VarianceAlert(Variance):
    """An hour in which a tenant's calls of a model used more than was held for them. Raised once."""

    hour = models.DateTimeField()
    raised_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["hour", "model", "pseudonym", "currency"], name="billing_alert_once")
        ]
        indexes = [
            models.Index(fields=["id"], name="billing_alert_unraised", condition=models.Q(raised_at=None)),
        ]
