from decimal import Decimal

import django.contrib.postgres.fields
import django.contrib.postgres.indexes
import django.core.validators
import django.db.models.deletion
import django.db.models.expressions
import django.db.models.functions.comparison
import django.db.models.functions.datetime
from django.db import migrations, models

import billing.closed_months
import billing.models.budgets
import billing.models.ledger
import tenants.append_only
import tenants.ids
import tenants.row_security


class Migration(migrations.Migration):
    initial = True
    dependencies = [("tenants", "0001_initial")]
    operations = [
        migrations.CreateModel(
            name="BillCorrection",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("bill_id", models.UUIDField()),
                ("line_id", models.UUIDField(help_text="The line of the ledger.")),
                ("model", models.CharField(max_length=200)),
                ("day", models.DateField()),
                ("quantity", models.BigIntegerField()),
                ("cost", models.DecimalField(decimal_places=12, max_digits=24)),
                ("provider_cost", models.DecimalField(decimal_places=12, max_digits=24)),
                ("reason", models.CharField(max_length=200)),
                ("posted_id", models.UUIDField(help_text="The row of the ledger that corrects it.", null=True)),
                ("refusal", models.CharField(db_default="", default="", max_length=300)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("posted_id", None)), fields=["bill_id"], name="billing_correction_unposted"
                    )
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_billcorrection_owned"),
                    models.UniqueConstraint(
                        fields=("tenant", "bill_id", "line_id"), name="billing_billcorrection_once"
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="Budget",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100)),
                ("key_id", models.UUIDField(blank=True, help_text="Empty: all of the tenant's keys.", null=True)),
                (
                    "tag_name",
                    models.CharField(
                        blank=True, db_default="", default="", help_text="Empty: any call.", max_length=64
                    ),
                ),
                ("tag_value", models.CharField(blank=True, db_default="", default="", max_length=256)),
                (
                    "period",
                    models.CharField(
                        choices=[("day", "Day"), ("month", "Month"), ("total", "Total")],
                        db_default="month",
                        default="month",
                        max_length=8,
                    ),
                ),
                (
                    "starts_on",
                    models.DateField(
                        default=billing.models.budgets.today, help_text="A total counts from this day on."
                    ),
                ),
                (
                    "hard",
                    models.BooleanField(
                        db_default=True, default=True, help_text="Calls beyond it are refused. A soft one only warns."
                    ),
                ),
                (
                    "limit",
                    models.DecimalField(
                        decimal_places=12,
                        max_digits=24,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                (
                    "alert_shares",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.PositiveSmallIntegerField(),
                        blank=True,
                        db_default=[],
                        default=list,
                        help_text="Percent of the limit at which it warns, once a period each.",
                        size=None,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_budget_owned"),
                    models.UniqueConstraint(fields=("tenant", "name"), name="billing_budget_name"),
                    models.CheckConstraint(condition=models.Q(("limit__gte", 0)), name="billing_budget_not_negative"),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("tag_name", ""), ("tag_value", "")),
                            models.Q(("tag_name", ""), ("tag_value", ""), _connector="OR", _negated=True),
                            _connector="OR",
                        ),
                        name="billing_budget_tag",
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="BudgetAccount",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("period_start", models.DateField()),
                ("spent", models.DecimalField(db_default=Decimal("0"), decimal_places=12, max_digits=24)),
                ("held", models.DecimalField(db_default=Decimal("0"), decimal_places=12, max_digits=24)),
                (
                    "budget",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="accounts",
                        to="billing.budget",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_budgetaccount_owned"),
                    tenants.row_security.TenantForeignKey(field="budget", name="billing_budgetaccount_budget"),
                    models.UniqueConstraint(
                        fields=("tenant", "budget", "period_start"), name="billing_budgetaccount_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("held__gte", 0)), name="billing_budgetaccount_not_negative"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="BudgetAlert",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("period_start", models.DateField()),
                (
                    "kind",
                    models.CharField(
                        choices=[("share", "Share reached"), ("forecast", "Will be exceeded")], max_length=8
                    ),
                ),
                ("share", models.PositiveSmallIntegerField(help_text="Percent of the limit.")),
                ("limit", models.DecimalField(decimal_places=12, max_digits=24)),
                ("spent", models.DecimalField(decimal_places=12, max_digits=24)),
                (
                    "projected",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="By the period's end, at the pace until now.",
                        max_digits=24,
                        null=True,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "budget",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.CASCADE,
                        related_name="alerts",
                        to="billing.budget",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_budgetalert_owned"),
                    tenants.row_security.TenantForeignKey(field="budget", name="billing_budgetalert_budget"),
                    models.UniqueConstraint(
                        fields=("tenant", "budget", "period_start", "kind", "share", "limit"),
                        name="billing_budgetalert_once",
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="CreditNote",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("statement_id", models.UUIDField(help_text="The statement that it credits.", null=True)),
                ("record_id", models.UUIDField(help_text="Or the one line of the ledger.", null=True)),
                (
                    "records",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.UUIDField(), help_text="The ledger's lines that it consists of.", size=None
                    ),
                ),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=12, help_text="What the tenant gets back; positive.", max_digits=24
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("reason", models.CharField(max_length=200)),
                ("period_start", models.DateField(help_text="The month whose statement has it.")),
                ("created_by_type", models.CharField(max_length=16)),
                ("created_by_id", models.CharField(max_length=64)),
                ("created_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "period_start"], name="billing_creditnote_by_month")],
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_creditnote_owned"),
                    tenants.append_only.AppendOnly(name="billing_creditnote_append_only"),
                    models.CheckConstraint(condition=models.Q(("amount__gt", 0)), name="billing_creditnote_positive"),
                    models.CheckConstraint(
                        condition=models.Q(("statement_id", None), ("record_id", None), _connector="XOR"),
                        name="billing_creditnote_names_one",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="LedgerFault",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("kind", models.CharField(max_length=16)),
                (
                    "pseudonym",
                    models.UUIDField(help_text="The tenant's id, which names nobody once the tenant is erased."),
                ),
                ("subject", models.CharField(max_length=300)),
                (
                    "day",
                    models.DateField(
                        help_text="Of what is wrong; empty for accounts, which are checked each time.", null=True
                    ),
                ),
                ("expected", models.DecimalField(decimal_places=12, max_digits=40)),
                ("found", models.DecimalField(decimal_places=12, max_digits=40)),
                ("found_at", models.DateTimeField()),
                ("seen_at", models.DateTimeField(help_text="When a check found it last.")),
                ("resolved_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("resolved_at", None)), fields=["kind"], name="billing_ledgerfault_open"
                    )
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("kind", "pseudonym", "subject"), name="billing_ledgerfault_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="LimitOverride",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("key_id", models.UUIDField(blank=True, help_text="Empty: the tenant's.", null=True)),
                (
                    "limit",
                    models.CharField(
                        choices=[
                            ("requests_per_minute", "Requests Per Minute"),
                            ("tokens_per_minute", "Tokens Per Minute"),
                            ("concurrent_calls", "Concurrent Calls"),
                            ("user_requests_per_minute", "User Requests Per Minute"),
                            ("user_tokens_per_minute", "User Tokens Per Minute"),
                            ("user_concurrent_calls", "User Concurrent Calls"),
                            ("tokens_per_month", "Tokens Per Month"),
                            ("documents", "Documents"),
                            ("stored_bytes", "Stored Bytes"),
                            ("ocr_pages_per_month", "Ocr Pages Per Month"),
                            ("weight", "Weight"),
                            ("priority", "Priority"),
                            ("allowed_models", "Allowed Models"),
                        ],
                        max_length=32,
                    ),
                ),
                (
                    "value",
                    models.BigIntegerField(blank=True, help_text="0: no limit. Empty: the plan's again.", null=True),
                ),
                (
                    "names",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        blank=True,
                        help_text="Of allowed models; none named: all.",
                        null=True,
                        size=None,
                    ),
                ),
                ("valid_from", models.DateTimeField()),
                ("reason", models.CharField(blank=True, db_default="", default="", max_length=200)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_limitoverride_owned"),
                    models.UniqueConstraint(
                        fields=("tenant", "key_id", "limit", "valid_from"),
                        name="billing_limitoverride_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("limit", "allowed_models"), ("value", None)),
                            models.Q(models.Q(("limit", "allowed_models"), _negated=True), ("names", None)),
                            _connector="OR",
                        ),
                        name="billing_limitoverride_kind",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("value", None), ("value__gte", 0), _connector="OR"),
                        name="billing_limitoverride_not_negative",
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="MeterEvent",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("start", models.DateTimeField()),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input Tokens"),
                            ("cached_input_tokens", "Cached Input Tokens"),
                            ("output_tokens", "Output Tokens"),
                            ("reasoning_tokens", "Reasoning Tokens"),
                            ("embedding_tokens", "Embedding Tokens"),
                            ("cache_hits", "Cache Hits"),
                            ("moderation_calls", "Moderation Calls"),
                            ("ocr_pages", "Ocr Pages"),
                            ("storage_byte_hours", "Storage Byte Hours"),
                            ("search_calls", "Search Calls"),
                            ("fine_tuning_tokens", "Fine Tuning Tokens"),
                            ("unreconciled", "Unreconciled"),
                        ],
                        max_length=32,
                    ),
                ),
                ("quantity", models.BigIntegerField()),
                ("events", models.PositiveSmallIntegerField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_meterevent_owned"),
                    models.UniqueConstraint(fields=("tenant", "start", "meter"), name="billing_meterevent_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="ModelDay",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("start", models.DateTimeField(help_text="The first moment of the hour or day (UTC).")),
                ("operation", models.CharField(max_length=32)),
                ("model", models.CharField(max_length=200)),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input Tokens"),
                            ("cached_input_tokens", "Cached Input Tokens"),
                            ("output_tokens", "Output Tokens"),
                            ("reasoning_tokens", "Reasoning Tokens"),
                            ("embedding_tokens", "Embedding Tokens"),
                            ("cache_hits", "Cache Hits"),
                            ("moderation_calls", "Moderation Calls"),
                            ("ocr_pages", "Ocr Pages"),
                            ("storage_byte_hours", "Storage Byte Hours"),
                            ("search_calls", "Search Calls"),
                            ("fine_tuning_tokens", "Fine Tuning Tokens"),
                            ("unreconciled", "Unreconciled"),
                        ],
                        max_length=32,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("provider", models.CharField(max_length=100)),
                ("batch", models.BooleanField()),
                (
                    "corrects",
                    models.BooleanField(help_text="Sums of corrections: they stand apart from what they correct."),
                ),
                ("quantity", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("included", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("calls", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("lines", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("cost", models.DecimalField(decimal_places=12, default=Decimal("0"), max_digits=40)),
                ("variance", models.DecimalField(decimal_places=12, default=Decimal("0"), max_digits=40)),
                (
                    "list_cost",
                    models.DecimalField(
                        decimal_places=12, default=Decimal("0"), help_text="Of the lines that have one.", max_digits=40
                    ),
                ),
                (
                    "unlisted_cost",
                    models.DecimalField(
                        decimal_places=12,
                        default=Decimal("0"),
                        help_text="The cost of those that have no list cost.",
                        max_digits=40,
                    ),
                ),
                (
                    "provider_cost",
                    models.DecimalField(
                        decimal_places=12, default=Decimal("0"), help_text="Of the lines that have one.", max_digits=40
                    ),
                ),
                (
                    "unmatched_cost",
                    models.DecimalField(
                        decimal_places=12,
                        default=Decimal("0"),
                        help_text="The cost of those whose provider cost is not known.",
                        max_digits=40,
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "start"], name="billing_modelday_time"),
                    models.Index(fields=["start"], name="billing_modelday_all"),
                ],
                "constraints": [tenants.row_security.TenantOwned(name="billing_modelday_owned")],
            },
        ),
        migrations.CreateModel(
            name="Plan",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("slug", models.SlugField(unique=True)),
                ("name", models.CharField(max_length=100)),
                ("requests_per_minute", models.PositiveIntegerField()),
                ("tokens_per_minute", models.PositiveIntegerField()),
                ("concurrent_calls", models.PositiveIntegerField()),
                (
                    "user_requests_per_minute",
                    models.PositiveIntegerField(
                        db_default=0, default=0, help_text="Of each end user that calls name; 0: no limit."
                    ),
                ),
                ("user_tokens_per_minute", models.PositiveIntegerField(db_default=0, default=0)),
                ("user_concurrent_calls", models.PositiveIntegerField(db_default=0, default=0)),
                ("tokens_per_month", models.PositiveBigIntegerField(db_default=0, default=0, help_text="0: no limit.")),
                (
                    "documents",
                    models.PositiveIntegerField(
                        db_default=0, default=0, help_text="Files in vector stores, each store's own; 0: no limit."
                    ),
                ),
                (
                    "stored_bytes",
                    models.PositiveBigIntegerField(db_default=0, default=0, help_text="Of all files; 0: no limit."),
                ),
                (
                    "ocr_pages_per_month",
                    models.PositiveIntegerField(
                        db_default=0, default=0, help_text="Pages read by optical character recognition; 0: no limit."
                    ),
                ),
                (
                    "weight",
                    models.PositiveSmallIntegerField(
                        default=1,
                        help_text="Its share of the workers, against other tenants'.",
                        validators=[django.core.validators.MinValueValidator(1)],
                    ),
                ),
                (
                    "priority",
                    models.PositiveSmallIntegerField(
                        db_default=0,
                        default=0,
                        help_text="Seconds that its work counts as waiting longer than others' with the same share under way.",
                    ),
                ),
                (
                    "allowed_models",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.CharField(max_length=200),
                        blank=True,
                        db_default=[],
                        default=list,
                        help_text="Of the models granted, those that may be called, variants of them included; empty: all.",
                        size=None,
                    ),
                ),
                (
                    "content_retention_days",
                    models.PositiveIntegerField(
                        blank=True,
                        help_text="Days that a new tenant keeps prompts and answers, where nobody says; empty: 30.",
                        null=True,
                    ),
                ),
                (
                    "clamps_output",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="Where too little is left of a budget or quota for a call's max_tokens, the answer is shorter, not refused.",
                    ),
                ),
                (
                    "monthly_budget",
                    models.DecimalField(
                        blank=True,
                        decimal_places=12,
                        help_text="A hard tenant budget a new tenant of this plan starts with.",
                        max_digits=24,
                        null=True,
                    ),
                ),
                (
                    "closing_day",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Day (UTC) on which the month before is closed. Empty: a person closes it.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(28),
                        ],
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="PlanAllowance",
            fields=[
                (
                    "source",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Where it comes from, such as a contract.",
                        max_length=200,
                    ),
                ),
                ("added_by", models.CharField(db_default="", default="", editable=False, max_length=100)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "model",
                    models.CharField(
                        blank=True, db_default="", default="", help_text="Empty: any model.", max_length=200
                    ),
                ),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input Tokens"),
                            ("cached_input_tokens", "Cached Input Tokens"),
                            ("output_tokens", "Output Tokens"),
                            ("reasoning_tokens", "Reasoning Tokens"),
                            ("embedding_tokens", "Embedding Tokens"),
                            ("cache_hits", "Cache Hits"),
                            ("moderation_calls", "Moderation Calls"),
                            ("ocr_pages", "Ocr Pages"),
                            ("storage_byte_hours", "Storage Byte Hours"),
                            ("search_calls", "Search Calls"),
                            ("fine_tuning_tokens", "Fine Tuning Tokens"),
                            ("unreconciled", "Unreconciled"),
                        ],
                        max_length=32,
                    ),
                ),
                ("quantity", models.PositiveBigIntegerField(help_text="Units a month.")),
                ("valid_from", models.DateField(help_text="The first day of a month.")),
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("plan", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="billing.plan")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("plan", "meter", "model", "valid_from"), name="billing_planallowance_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("valid_from__day", 1)), name="billing_planallowance_month"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="Price",
            fields=[
                ("model", models.CharField(max_length=200)),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input Tokens"),
                            ("cached_input_tokens", "Cached Input Tokens"),
                            ("output_tokens", "Output Tokens"),
                            ("reasoning_tokens", "Reasoning Tokens"),
                            ("embedding_tokens", "Embedding Tokens"),
                            ("cache_hits", "Cache Hits"),
                            ("moderation_calls", "Moderation Calls"),
                            ("ocr_pages", "Ocr Pages"),
                            ("storage_byte_hours", "Storage Byte Hours"),
                            ("search_calls", "Search Calls"),
                            ("fine_tuning_tokens", "Fine Tuning Tokens"),
                            ("unreconciled", "Unreconciled"),
                        ],
                        max_length=32,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=12,
                        max_digits=24,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "per",
                    models.PositiveIntegerField(default=1000000, help_text="Units of the meter that `amount` buys."),
                ),
                ("valid_from", models.DateTimeField()),
                (
                    "source",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Where it comes from, such as a contract.",
                        max_length=200,
                    ),
                ),
                ("added_by", models.CharField(db_default="", default="", editable=False, max_length=100)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "tiers",
                    models.JSONField(
                        blank=True,
                        db_default=[],
                        default=list,
                        help_text="[[units, amount], …]: beyond that many units of a tenant's calendar month, `per` units cost that much. Up to the first of them they cost the amount above.",
                    ),
                ),
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "plan",
                    models.ForeignKey(
                        blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, to="billing.plan"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("plan", "model", "meter", "currency", "valid_from"),
                        name="billing_price_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gte", 0), ("per__gte", 1)), name="billing_price_sound"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="ProviderBill",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("provider", models.CharField(help_text="As deployments name it, such as bedrock.", max_length=100)),
                ("name", models.CharField(max_length=200)),
                ("sha256", models.CharField(editable=False, max_length=64)),
                ("currency", models.CharField(max_length=3)),
                ("first_day", models.DateField()),
                ("last_day", models.DateField()),
                ("rows", models.PositiveIntegerField(help_text="Lines of the file.")),
                (
                    "other_cost",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="What is no usage: tax, purchases, credits, adjustments.",
                        max_digits=24,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[("imported", "Imported"), ("approved", "Approved"), ("posted", "Posted")],
                        db_default="imported",
                        default="imported",
                        max_length=8,
                    ),
                ),
                ("imported_by", models.CharField(max_length=100)),
                ("approved_by", models.CharField(db_default="", default="", max_length=100)),
                ("approved_at", models.DateTimeField(null=True)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "sha256"), name="billing_providerbill_once")
                ]
            },
        ),
        migrations.CreateModel(
            name="BillLine",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("day", models.DateField()),
                ("service", models.CharField(max_length=200)),
                ("sku", models.CharField(max_length=300)),
                ("unit", models.CharField(max_length=100)),
                ("quantity", models.DecimalField(decimal_places=12, max_digits=32)),
                ("cost", models.DecimalField(decimal_places=12, max_digits=24)),
                ("rows", models.PositiveIntegerField()),
                (
                    "bill",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="lines", to="billing.providerbill"
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("bill", "day", "service", "sku", "unit"), name="billing_billline_once"
                    )
                ]
            },
        ),
        migrations.CreateModel(
            name="ProviderPrice",
            fields=[
                ("model", models.CharField(max_length=200)),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input Tokens"),
                            ("cached_input_tokens", "Cached Input Tokens"),
                            ("output_tokens", "Output Tokens"),
                            ("reasoning_tokens", "Reasoning Tokens"),
                            ("embedding_tokens", "Embedding Tokens"),
                            ("cache_hits", "Cache Hits"),
                            ("moderation_calls", "Moderation Calls"),
                            ("ocr_pages", "Ocr Pages"),
                            ("storage_byte_hours", "Storage Byte Hours"),
                            ("search_calls", "Search Calls"),
                            ("fine_tuning_tokens", "Fine Tuning Tokens"),
                            ("unreconciled", "Unreconciled"),
                        ],
                        max_length=32,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=12,
                        max_digits=24,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "per",
                    models.PositiveIntegerField(default=1000000, help_text="Units of the meter that `amount` buys."),
                ),
                ("valid_from", models.DateTimeField()),
                (
                    "source",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Where it comes from, such as a contract.",
                        max_length=200,
                    ),
                ),
                ("added_by", models.CharField(db_default="", default="", editable=False, max_length=100)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "provider",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="As deployments name it. Empty: any.",
                        max_length=100,
                    ),
                ),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("model", "meter", "provider", "currency", "valid_from"),
                        name="billing_providerprice_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gte", 0), ("per__gte", 1)), name="billing_providerprice_sound"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="QuotaUse",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "quota",
                    models.CharField(
                        choices=[
                            ("requests_per_minute", "Requests Per Minute"),
                            ("tokens_per_minute", "Tokens Per Minute"),
                            ("concurrent_calls", "Concurrent Calls"),
                            ("user_requests_per_minute", "User Requests Per Minute"),
                            ("user_tokens_per_minute", "User Tokens Per Minute"),
                            ("user_concurrent_calls", "User Concurrent Calls"),
                            ("tokens_per_month", "Tokens Per Month"),
                            ("documents", "Documents"),
                            ("stored_bytes", "Stored Bytes"),
                            ("ocr_pages_per_month", "Ocr Pages Per Month"),
                            ("weight", "Weight"),
                            ("priority", "Priority"),
                            ("allowed_models", "Allowed Models"),
                        ],
                        max_length=32,
                    ),
                ),
                ("period_start", models.DateField()),
                ("used", models.BigIntegerField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_quotause_owned"),
                    models.UniqueConstraint(fields=("tenant", "quota", "period_start"), name="billing_quotause_once"),
                    models.CheckConstraint(condition=models.Q(("used__gte", 0)), name="billing_quotause_not_negative"),
                ]
            },
        ),
        migrations.CreateModel(
            name="Report",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("usage", "Usage"), ("costs", "Costs"), ("ledger", "Ledger"), ("focus", "Focus")],
                        max_length=8,
                    ),
                ),
                (
                    "format",
                    models.CharField(choices=[("csv", "Csv"), ("xlsx", "Xlsx"), ("parquet", "Parquet")], max_length=8),
                ),
                ("options", models.JSONField(default=dict, help_text="Width of the buckets, grouping, filters.")),
                ("asked_by_type", models.CharField(max_length=16)),
                ("asked_by_id", models.CharField(max_length=64)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("start", models.DateTimeField(help_text="Inclusive.")),
                ("end", models.DateTimeField(help_text="Exclusive.")),
                ("schedule_id", models.UUIDField(null=True)),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("in_progress", "In Progress"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("expired", "Expired"),
                        ],
                        default="queued",
                        max_length=11,
                    ),
                ),
                ("attempts", models.PositiveSmallIntegerField(default=0)),
                ("progress", models.PositiveSmallIntegerField(default=0, help_text="Per cent of the period.")),
                ("rows", models.BigIntegerField(null=True)),
                ("bytes", models.BigIntegerField(null=True)),
                ("sha256", models.CharField(default="", help_text="Of the file.", max_length=64)),
                (
                    "totals",
                    models.JSONField(default=dict, help_text="Currency → the sum of the lines behind the file's rows."),
                ),
                ("error", models.JSONField(help_text="{code, message}, where it failed.", null=True)),
                ("stored_as", models.CharField(default="", help_text="Its name in the object store.", max_length=200)),
                ("completed_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField(help_text="When the file is removed.", null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "completed")), fields=["expires_at"], name="billing_report_expiry"
                    )
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_report_owned"),
                    models.UniqueConstraint(
                        condition=models.Q(("schedule_id__isnull", False)),
                        fields=("tenant", "schedule_id", "start"),
                        name="billing_report_once_a_period",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="ReportSchedule",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "kind",
                    models.CharField(
                        choices=[("usage", "Usage"), ("costs", "Costs"), ("ledger", "Ledger"), ("focus", "Focus")],
                        max_length=8,
                    ),
                ),
                (
                    "format",
                    models.CharField(choices=[("csv", "Csv"), ("xlsx", "Xlsx"), ("parquet", "Parquet")], max_length=8),
                ),
                ("options", models.JSONField(default=dict, help_text="Width of the buckets, grouping, filters.")),
                ("asked_by_type", models.CharField(max_length=16)),
                ("asked_by_id", models.CharField(max_length=64)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                ("name", models.CharField(max_length=100)),
                (
                    "every",
                    models.CharField(choices=[("day", "Day"), ("week", "Week"), ("month", "Month")], max_length=5),
                ),
                ("active", models.BooleanField(default=True)),
                ("next_start", models.DateField(help_text="The first day of the next period to be reported.")),
                ("due_at", models.DateTimeField(help_text="When that is over, and a little more.")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("active", True)), fields=["due_at"], name="billing_reportschedule_due"
                    )
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_reportschedule_owned"),
                    models.UniqueConstraint(fields=("tenant", "name"), name="billing_reportschedule_name"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Reservation",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "parent_id",
                    models.UUIDField(help_text="The reservation with which this one ends at the latest.", null=True),
                ),
                (
                    "children",
                    models.PositiveSmallIntegerField(db_default=0, default=0, help_text="Holds taken under this one."),
                ),
                ("request_id", models.UUIDField(help_text="The generation or job it pays for.")),
                ("key_id", models.UUIDField(null=True)),
                ("operation", models.CharField(max_length=32)),
                ("end_user", models.CharField(db_default="", default="", max_length=200)),
                (
                    "tags",
                    models.JSONField(
                        db_default={}, default=dict, help_text="Allocation tags, name → value, of key and call."
                    ),
                ),
                (
                    "batch",
                    models.BooleanField(db_default=False, default=False, help_text="A batch's line makes the call."),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("open", "Open"),
                            ("settled", "Settled"),
                            ("released", "Released"),
                            ("unknown", "Unknown"),
                        ],
                        db_default="open",
                        default="open",
                        max_length=8,
                    ),
                ),
                ("hold", models.DecimalField(decimal_places=12, max_digits=24)),
                ("currency", models.CharField(max_length=3)),
                ("prices", models.JSONField(help_text="The prices in force at reservation (`UnitPrice.as_json`).")),
                ("accounts", models.JSONField(default=list, help_text="The budget accounts that hold it.")),
                (
                    "tokens",
                    models.BigIntegerField(
                        db_default=0, default=0, help_text="Of the month's quotas, held beside the money."
                    ),
                ),
                (
                    "quotas",
                    models.JSONField(db_default=[], default=list, help_text="The token accounts that hold them."),
                ),
                ("period_start", models.DateField()),
                (
                    "created_at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(),
                        editable=False,
                        help_text="By which its day and month are told; a part has its call's.",
                    ),
                ),
                ("dispatched_at", models.DateTimeField(null=True)),
                ("expires_at", models.DateTimeField()),
                ("settled_at", models.DateTimeField(null=True)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(
                        condition=models.Q(("state", "open")), fields=["expires_at"], name="billing_reservation_open"
                    ),
                    models.Index(
                        condition=models.Q(("parent_id__isnull", False)),
                        fields=["tenant", "parent_id"],
                        name="billing_reservation_children",
                    ),
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_reservation_owned"),
                    billing.closed_months.OpenMonth(name="billing_reservation_open_month", of="true"),
                ],
            },
        ),
        migrations.CreateModel(
            name="RollUpMark",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("up_to", models.BigIntegerField()),
                ("rolled_at", models.DateTimeField()),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="billing_rollupmark_one")]
            },
        ),
        migrations.CreateModel(
            name="SkuMapping",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("provider", models.CharField(max_length=100)),
                (
                    "pattern",
                    models.CharField(
                        help_text="Of the SKU (AWS: the usage type), such as *-Claude3.5Sonnet-input-tokens.",
                        max_length=300,
                    ),
                ),
                ("model", models.CharField(max_length=200)),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input Tokens"),
                            ("cached_input_tokens", "Cached Input Tokens"),
                            ("output_tokens", "Output Tokens"),
                            ("reasoning_tokens", "Reasoning Tokens"),
                            ("embedding_tokens", "Embedding Tokens"),
                            ("cache_hits", "Cache Hits"),
                            ("moderation_calls", "Moderation Calls"),
                            ("ocr_pages", "Ocr Pages"),
                            ("storage_byte_hours", "Storage Byte Hours"),
                            ("search_calls", "Search Calls"),
                            ("fine_tuning_tokens", "Fine Tuning Tokens"),
                            ("unreconciled", "Unreconciled"),
                        ],
                        max_length=32,
                    ),
                ),
                (
                    "units",
                    models.DecimalField(
                        decimal_places=12,
                        default=Decimal("1"),
                        help_text="Units of ours in one of the bill's: 1000 where it counts thousands of tokens.",
                        max_digits=24,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
            ],
            options={
                "verbose_name": "SKU mapping",
                "constraints": [
                    models.UniqueConstraint(fields=("provider", "pattern"), name="billing_skumapping_once"),
                    models.CheckConstraint(condition=models.Q(("units__gt", 0)), name="billing_skumapping_units"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Statement",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("period_start", models.DateField()),
                ("currency", models.CharField(max_length=3)),
                (
                    "usage",
                    models.DecimalField(decimal_places=12, help_text="What was used in the month.", max_digits=24),
                ),
                (
                    "corrections",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="What corrects lines of this month or of those before it.",
                        max_digits=24,
                    ),
                ),
                (
                    "credits",
                    models.DecimalField(
                        decimal_places=12, help_text="What credit notes gave back; never positive.", max_digits=24
                    ),
                ),
                (
                    "total",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="The three together, which is the sum of the ledger's lines of the month.",
                        max_digits=24,
                    ),
                ),
                ("records", models.BigIntegerField(help_text="How many lines of the ledger that is.")),
                ("closed_by_type", models.CharField(max_length=16)),
                ("closed_by_id", models.CharField(max_length=64)),
                ("closed_at", models.DateTimeField()),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_statement_owned"),
                    tenants.append_only.AppendOnly(name="billing_statement_append_only"),
                    models.UniqueConstraint(fields=("tenant", "period_start"), name="billing_statement_once"),
                    models.CheckConstraint(
                        condition=models.Q(
                            (
                                "total",
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("usage"), "+", models.F("corrections")
                                    ),
                                    "+",
                                    models.F("credits"),
                                ),
                            )
                        ),
                        name="billing_statement_adds_up",
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="StatementLine",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("position", models.PositiveIntegerField()),
                (
                    "kind",
                    models.CharField(
                        choices=[("usage", "Usage"), ("correction", "Correction"), ("credit", "Credit")], max_length=10
                    ),
                ),
                ("model", models.CharField(max_length=200)),
                ("meter", models.CharField(max_length=32)),
                ("price_id", models.UUIDField(null=True)),
                (
                    "unit_price",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="Empty where its records have several, as with tiers.",
                        max_digits=24,
                        null=True,
                    ),
                ),
                ("per", models.PositiveIntegerField(null=True)),
                ("quantity", models.BigIntegerField()),
                (
                    "included",
                    models.BigIntegerField(help_text="Units that the plan's allowance paid for; the rest is overage."),
                ),
                ("cost", models.DecimalField(decimal_places=12, max_digits=24)),
                (
                    "list_cost",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="At the list price; empty where some record has none.",
                        max_digits=24,
                        null=True,
                    ),
                ),
                ("corrected_month", models.DateField(null=True)),
                ("reason", models.CharField(db_default="", default="", max_length=200)),
                ("records", models.BigIntegerField()),
                (
                    "statement",
                    models.ForeignKey(
                        db_constraint=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        related_name="lines",
                        to="billing.statement",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_statementline_owned"),
                    tenants.append_only.AppendOnly(name="billing_statementline_append_only"),
                    tenants.row_security.TenantForeignKey(field="statement", name="billing_statementline_statement"),
                    models.UniqueConstraint(
                        fields=("tenant", "statement", "position"), name="billing_statementline_once"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="Subscription",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "closing_day",
                    models.PositiveSmallIntegerField(
                        blank=True,
                        help_text="Day (UTC) on which the month before is closed. Empty: the plan's.",
                        null=True,
                        validators=[
                            django.core.validators.MinValueValidator(1),
                            django.core.validators.MaxValueValidator(28),
                        ],
                    ),
                ),
                ("plan", models.ForeignKey(on_delete=django.db.models.deletion.PROTECT, to="billing.plan")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_subscription_owned"),
                    models.UniqueConstraint(fields=("tenant",), name="billing_subscription_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="TenantAllowance",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "source",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Where it comes from, such as a contract.",
                        max_length=200,
                    ),
                ),
                ("added_by", models.CharField(db_default="", default="", editable=False, max_length=100)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "model",
                    models.CharField(
                        blank=True, db_default="", default="", help_text="Empty: any model.", max_length=200
                    ),
                ),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input Tokens"),
                            ("cached_input_tokens", "Cached Input Tokens"),
                            ("output_tokens", "Output Tokens"),
                            ("reasoning_tokens", "Reasoning Tokens"),
                            ("embedding_tokens", "Embedding Tokens"),
                            ("cache_hits", "Cache Hits"),
                            ("moderation_calls", "Moderation Calls"),
                            ("ocr_pages", "Ocr Pages"),
                            ("storage_byte_hours", "Storage Byte Hours"),
                            ("search_calls", "Search Calls"),
                            ("fine_tuning_tokens", "Fine Tuning Tokens"),
                            ("unreconciled", "Unreconciled"),
                        ],
                        max_length=32,
                    ),
                ),
                ("quantity", models.PositiveBigIntegerField(help_text="Units a month.")),
                ("valid_from", models.DateField(help_text="The first day of a month.")),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_tenantallowance_owned"),
                    models.UniqueConstraint(
                        fields=("tenant", "meter", "model", "valid_from"), name="billing_tenantallowance_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("valid_from__day", 1)), name="billing_tenantallowance_month"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="TenantPrice",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("model", models.CharField(max_length=200)),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input Tokens"),
                            ("cached_input_tokens", "Cached Input Tokens"),
                            ("output_tokens", "Output Tokens"),
                            ("reasoning_tokens", "Reasoning Tokens"),
                            ("embedding_tokens", "Embedding Tokens"),
                            ("cache_hits", "Cache Hits"),
                            ("moderation_calls", "Moderation Calls"),
                            ("ocr_pages", "Ocr Pages"),
                            ("storage_byte_hours", "Storage Byte Hours"),
                            ("search_calls", "Search Calls"),
                            ("fine_tuning_tokens", "Fine Tuning Tokens"),
                            ("unreconciled", "Unreconciled"),
                        ],
                        max_length=32,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                (
                    "amount",
                    models.DecimalField(
                        decimal_places=12,
                        max_digits=24,
                        validators=[django.core.validators.MinValueValidator(Decimal("0"))],
                    ),
                ),
                (
                    "per",
                    models.PositiveIntegerField(default=1000000, help_text="Units of the meter that `amount` buys."),
                ),
                ("valid_from", models.DateTimeField()),
                (
                    "source",
                    models.CharField(
                        blank=True,
                        db_default="",
                        default="",
                        help_text="Where it comes from, such as a contract.",
                        max_length=200,
                    ),
                ),
                ("added_by", models.CharField(db_default="", default="", editable=False, max_length=100)),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "tiers",
                    models.JSONField(
                        blank=True,
                        db_default=[],
                        default=list,
                        help_text="[[units, amount], …]: beyond that many units of a tenant's calendar month, `per` units cost that much. Up to the first of them they cost the amount above.",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_tenantprice_owned"),
                    models.UniqueConstraint(
                        fields=("tenant", "model", "meter", "currency", "valid_from"), name="billing_tenantprice_once"
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("amount__gte", 0), ("per__gte", 1)), name="billing_tenantprice_sound"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="TokenAccount",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("key_id", models.UUIDField(null=True)),
                ("period_start", models.DateField()),
                ("used", models.BigIntegerField(db_default=0, default=0)),
                ("held", models.BigIntegerField(db_default=0, default=0)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_tokenaccount_owned"),
                    models.UniqueConstraint(
                        fields=("tenant", "key_id", "period_start"),
                        name="billing_tokenaccount_once",
                        nulls_distinct=False,
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("held__gte", 0), ("used__gte", 0)), name="billing_tokenaccount_not_negative"
                    ),
                ]
            },
        ),
        migrations.CreateModel(
            name="UnitCounts",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("period_start", models.DateField()),
                ("units", models.JSONField(db_default={}, default=dict)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
            options={
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_unitcounts_owned"),
                    models.UniqueConstraint(fields=("tenant", "period_start"), name="billing_unitcounts_once"),
                ]
            },
        ),
        migrations.CreateModel(
            name="UsageDay",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("start", models.DateTimeField(help_text="The first moment of the hour or day (UTC).")),
                ("operation", models.CharField(max_length=32)),
                ("model", models.CharField(max_length=200)),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input Tokens"),
                            ("cached_input_tokens", "Cached Input Tokens"),
                            ("output_tokens", "Output Tokens"),
                            ("reasoning_tokens", "Reasoning Tokens"),
                            ("embedding_tokens", "Embedding Tokens"),
                            ("cache_hits", "Cache Hits"),
                            ("moderation_calls", "Moderation Calls"),
                            ("ocr_pages", "Ocr Pages"),
                            ("storage_byte_hours", "Storage Byte Hours"),
                            ("search_calls", "Search Calls"),
                            ("fine_tuning_tokens", "Fine Tuning Tokens"),
                            ("unreconciled", "Unreconciled"),
                        ],
                        max_length=32,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("provider", models.CharField(max_length=100)),
                ("batch", models.BooleanField()),
                (
                    "corrects",
                    models.BooleanField(help_text="Sums of corrections: they stand apart from what they correct."),
                ),
                ("quantity", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("included", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("calls", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("lines", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("cost", models.DecimalField(decimal_places=12, default=Decimal("0"), max_digits=40)),
                ("variance", models.DecimalField(decimal_places=12, default=Decimal("0"), max_digits=40)),
                (
                    "list_cost",
                    models.DecimalField(
                        decimal_places=12, default=Decimal("0"), help_text="Of the lines that have one.", max_digits=40
                    ),
                ),
                (
                    "unlisted_cost",
                    models.DecimalField(
                        decimal_places=12,
                        default=Decimal("0"),
                        help_text="The cost of those that have no list cost.",
                        max_digits=40,
                    ),
                ),
                (
                    "provider_cost",
                    models.DecimalField(
                        decimal_places=12, default=Decimal("0"), help_text="Of the lines that have one.", max_digits=40
                    ),
                ),
                (
                    "unmatched_cost",
                    models.DecimalField(
                        decimal_places=12,
                        default=Decimal("0"),
                        help_text="The cost of those whose provider cost is not known.",
                        max_digits=40,
                    ),
                ),
                ("key_id", models.UUIDField(null=True)),
                ("price_id", models.UUIDField(null=True)),
                ("tags", models.JSONField(default=dict)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "start"], name="billing_usageday_time"),
                    models.Index(fields=["start"], name="billing_usageday_all"),
                ],
                "constraints": [tenants.row_security.TenantOwned(name="billing_usageday_owned")],
            },
        ),
        migrations.CreateModel(
            name="UsageHour",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("start", models.DateTimeField(help_text="The first moment of the hour or day (UTC).")),
                ("operation", models.CharField(max_length=32)),
                ("model", models.CharField(max_length=200)),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input Tokens"),
                            ("cached_input_tokens", "Cached Input Tokens"),
                            ("output_tokens", "Output Tokens"),
                            ("reasoning_tokens", "Reasoning Tokens"),
                            ("embedding_tokens", "Embedding Tokens"),
                            ("cache_hits", "Cache Hits"),
                            ("moderation_calls", "Moderation Calls"),
                            ("ocr_pages", "Ocr Pages"),
                            ("storage_byte_hours", "Storage Byte Hours"),
                            ("search_calls", "Search Calls"),
                            ("fine_tuning_tokens", "Fine Tuning Tokens"),
                            ("unreconciled", "Unreconciled"),
                        ],
                        max_length=32,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("provider", models.CharField(max_length=100)),
                ("batch", models.BooleanField()),
                (
                    "corrects",
                    models.BooleanField(help_text="Sums of corrections: they stand apart from what they correct."),
                ),
                ("quantity", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("included", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("calls", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("lines", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("cost", models.DecimalField(decimal_places=12, default=Decimal("0"), max_digits=40)),
                ("variance", models.DecimalField(decimal_places=12, default=Decimal("0"), max_digits=40)),
                (
                    "list_cost",
                    models.DecimalField(
                        decimal_places=12, default=Decimal("0"), help_text="Of the lines that have one.", max_digits=40
                    ),
                ),
                (
                    "unlisted_cost",
                    models.DecimalField(
                        decimal_places=12,
                        default=Decimal("0"),
                        help_text="The cost of those that have no list cost.",
                        max_digits=40,
                    ),
                ),
                (
                    "provider_cost",
                    models.DecimalField(
                        decimal_places=12, default=Decimal("0"), help_text="Of the lines that have one.", max_digits=40
                    ),
                ),
                (
                    "unmatched_cost",
                    models.DecimalField(
                        decimal_places=12,
                        default=Decimal("0"),
                        help_text="The cost of those whose provider cost is not known.",
                        max_digits=40,
                    ),
                ),
                ("key_id", models.UUIDField(null=True)),
                ("price_id", models.UUIDField(null=True)),
                ("tags", models.JSONField(default=dict)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [models.Index(fields=["tenant", "start"], name="billing_usagehour_time")],
                "constraints": [tenants.row_security.TenantOwned(name="billing_usagehour_owned")],
            },
        ),
        migrations.CreateModel(
            name="UsageRecord",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("reservation_id", models.UUIDField()),
                ("request_id", models.UUIDField()),
                ("attempt", models.PositiveSmallIntegerField()),
                ("operation", models.CharField(max_length=32)),
                ("model", models.CharField(max_length=200)),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input Tokens"),
                            ("cached_input_tokens", "Cached Input Tokens"),
                            ("output_tokens", "Output Tokens"),
                            ("reasoning_tokens", "Reasoning Tokens"),
                            ("embedding_tokens", "Embedding Tokens"),
                            ("cache_hits", "Cache Hits"),
                            ("moderation_calls", "Moderation Calls"),
                            ("ocr_pages", "Ocr Pages"),
                            ("storage_byte_hours", "Storage Byte Hours"),
                            ("search_calls", "Search Calls"),
                            ("fine_tuning_tokens", "Fine Tuning Tokens"),
                            ("unreconciled", "Unreconciled"),
                        ],
                        max_length=32,
                    ),
                ),
                ("quantity", models.BigIntegerField()),
                ("price_id", models.UUIDField(null=True)),
                ("unit_price", models.DecimalField(decimal_places=12, max_digits=24)),
                ("per", models.PositiveIntegerField()),
                (
                    "cost",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="What the tenant is charged: exact, rounded once, never above the hold.",
                        max_digits=24,
                    ),
                ),
                (
                    "variance",
                    models.DecimalField(
                        db_default=Decimal("0"),
                        decimal_places=12,
                        help_text="What usage above the hold cost; the platform bears it.",
                        max_digits=24,
                    ),
                ),
                (
                    "estimated",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="The quantity is our own count: the provider gave none.",
                    ),
                ),
                (
                    "included",
                    models.BigIntegerField(
                        db_default=0, default=0, help_text="Units that the plan's allowance paid for."
                    ),
                ),
                (
                    "tiered_from",
                    models.BigIntegerField(
                        help_text="Units of the month that came before, where the price has tiers.", null=True
                    ),
                ),
                (
                    "list_cost",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="What it would cost at the list price; empty where there is none.",
                        max_digits=24,
                        null=True,
                    ),
                ),
                (
                    "provider_cost",
                    models.DecimalField(
                        decimal_places=12,
                        help_text="What the platform pays its provider; empty where that is not known.",
                        max_digits=24,
                        null=True,
                    ),
                ),
                (
                    "provider",
                    models.CharField(
                        db_default="", default="", help_text="Who billed the platform for it.", max_length=100
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("key_id", models.UUIDField(null=True)),
                ("end_user", models.CharField(db_default="", default="", max_length=200)),
                (
                    "tags",
                    models.JSONField(
                        db_default={}, default=dict, help_text="Allocation tags, name → value, of key and call."
                    ),
                ),
                (
                    "batch",
                    models.BooleanField(db_default=False, default=False, help_text="A batch's line made the call."),
                ),
                (
                    "leads",
                    models.BooleanField(
                        db_default=False,
                        default=False,
                        help_text="The first line of its call: the one by which calls are counted.",
                    ),
                ),
                ("period_start", models.DateField()),
                ("occurred_at", models.DateTimeField(db_default=django.db.models.functions.datetime.Now())),
                ("corrects", models.UUIDField(help_text="The line that this one corrects.", null=True)),
                (
                    "reason",
                    models.CharField(db_default="", default="", help_text="Why, of a correction.", max_length=200),
                ),
                (
                    "xact",
                    models.BigIntegerField(
                        db_default=django.db.models.functions.comparison.Cast(
                            billing.models.ledger.CurrentTransaction(), models.BigIntegerField()
                        ),
                        editable=False,
                        help_text="The transaction that wrote it: by it the sums know which lines are new, in whatever order they commit.",
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "occurred_at"], name="billing_usage_by_time"),
                    django.contrib.postgres.indexes.BrinIndex(fields=["period_start"], name="billing_usage_by_month"),
                    models.Index(
                        condition=models.Q(("corrects__isnull", False)),
                        fields=["tenant", "corrects"],
                        name="billing_usage_corrections",
                    ),
                    models.Index(fields=["xact"], name="billing_usage_new"),
                ],
                "constraints": [
                    tenants.row_security.TenantOwned(name="billing_usagerecord_owned"),
                    tenants.append_only.AppendOnly(name="billing_usagerecord_append_only"),
                    billing.closed_months.OpenMonth(
                        name="billing_usagerecord_open_month",
                        of="NEW.corrects IS NOT NULL OR NEW.period_start <> date_trunc('month', clock_timestamp() AT TIME ZONE 'utc')::date",
                    ),
                    models.UniqueConstraint(
                        condition=models.Q(("corrects", None)),
                        fields=("tenant", "request_id", "attempt", "meter"),
                        name="billing_usagerecord_once",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("corrects__isnull", False),
                            models.Q(
                                ("cost__gte", 0),
                                ("included__gte", 0),
                                ("included__lte", models.F("quantity")),
                                ("quantity__gte", 0),
                                ("variance__gte", 0),
                            ),
                            _connector="OR",
                        ),
                        name="billing_usagerecord_not_negative",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(("corrects", None), ("reason", "")),
                            models.Q(
                                ("corrects__isnull", False), ("leads", False), models.Q(("reason", ""), _negated=True)
                            ),
                            _connector="OR",
                        ),
                        name="billing_usagerecord_corrections_say_why",
                    ),
                ],
            },
        ),
        migrations.CreateModel(
            name="UserDay",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("start", models.DateTimeField(help_text="The first moment of the hour or day (UTC).")),
                ("operation", models.CharField(max_length=32)),
                ("model", models.CharField(max_length=200)),
                (
                    "meter",
                    models.CharField(
                        choices=[
                            ("input_tokens", "Input Tokens"),
                            ("cached_input_tokens", "Cached Input Tokens"),
                            ("output_tokens", "Output Tokens"),
                            ("reasoning_tokens", "Reasoning Tokens"),
                            ("embedding_tokens", "Embedding Tokens"),
                            ("cache_hits", "Cache Hits"),
                            ("moderation_calls", "Moderation Calls"),
                            ("ocr_pages", "Ocr Pages"),
                            ("storage_byte_hours", "Storage Byte Hours"),
                            ("search_calls", "Search Calls"),
                            ("fine_tuning_tokens", "Fine Tuning Tokens"),
                            ("unreconciled", "Unreconciled"),
                        ],
                        max_length=32,
                    ),
                ),
                ("currency", models.CharField(max_length=3)),
                ("provider", models.CharField(max_length=100)),
                ("batch", models.BooleanField()),
                (
                    "corrects",
                    models.BooleanField(help_text="Sums of corrections: they stand apart from what they correct."),
                ),
                ("quantity", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("included", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("calls", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("lines", models.DecimalField(decimal_places=0, default=Decimal("0"), max_digits=40)),
                ("cost", models.DecimalField(decimal_places=12, default=Decimal("0"), max_digits=40)),
                ("variance", models.DecimalField(decimal_places=12, default=Decimal("0"), max_digits=40)),
                (
                    "list_cost",
                    models.DecimalField(
                        decimal_places=12, default=Decimal("0"), help_text="Of the lines that have one.", max_digits=40
                    ),
                ),
                (
                    "unlisted_cost",
                    models.DecimalField(
                        decimal_places=12,
                        default=Decimal("0"),
                        help_text="The cost of those that have no list cost.",
                        max_digits=40,
                    ),
                ),
                (
                    "provider_cost",
                    models.DecimalField(
                        decimal_places=12, default=Decimal("0"), help_text="Of the lines that have one.", max_digits=40
                    ),
                ),
                (
                    "unmatched_cost",
                    models.DecimalField(
                        decimal_places=12,
                        default=Decimal("0"),
                        help_text="The cost of those whose provider cost is not known.",
                        max_digits=40,
                    ),
                ),
                ("key_id", models.UUIDField(null=True)),
                ("price_id", models.UUIDField(null=True)),
                ("tags", models.JSONField(default=dict)),
                ("end_user", models.CharField(max_length=200)),
                (
                    "tenant",
                    models.ForeignKey(
                        db_constraint=False,
                        db_index=False,
                        editable=False,
                        on_delete=django.db.models.deletion.DO_NOTHING,
                        to="tenants.tenant",
                    ),
                ),
            ],
            options={
                "indexes": [
                    models.Index(fields=["tenant", "end_user", "start"], name="billing_userday_user"),
                    models.Index(fields=["tenant", "start"], name="billing_userday_time"),
                ],
                "constraints": [tenants.row_security.TenantOwned(name="billing_userday_owned")],
            },
        ),
        migrations.CreateModel(
            name="VarianceAccount",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("model", models.CharField(max_length=200)),
                (
                    "pseudonym",
                    models.UUIDField(help_text="The tenant's id, which names nobody once the tenant is erased."),
                ),
                ("currency", models.CharField(max_length=3)),
                ("amount", models.DecimalField(decimal_places=12, max_digits=24)),
                ("calls", models.PositiveIntegerField()),
                ("day", models.DateField()),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(
                        fields=("day", "model", "pseudonym", "currency"), name="billing_variance_once"
                    )
                ]
            },
        ),
        migrations.CreateModel(
            name="VarianceAlert",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("model", models.CharField(max_length=200)),
                (
                    "pseudonym",
                    models.UUIDField(help_text="The tenant's id, which names nobody once the tenant is erased."),
                ),
                ("currency", models.CharField(max_length=3)),
                ("amount", models.DecimalField(decimal_places=12, max_digits=24)),
                ("calls", models.PositiveIntegerField()),
                ("hour", models.DateTimeField()),
                ("raised_at", models.DateTimeField(null=True)),
            ],
            options={
                "indexes": [
                    models.Index(condition=models.Q(("raised_at", None)), fields=["id"], name="billing_alert_unraised")
                ],
                "constraints": [
                    models.UniqueConstraint(
                        fields=("hour", "model", "pseudonym", "currency"), name="billing_alert_once"
                    )
                ],
            },
        ),
    ]
