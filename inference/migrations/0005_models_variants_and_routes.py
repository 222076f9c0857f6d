"""Variants, fallbacks, routing, attempts; what a grant allows and what a model can."""

from decimal import Decimal

import django.contrib.postgres.fields
import django.core.validators
import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models

import inference.models.catalogue
import tenants.ids
import tenants.row_security


def what_they_can(apps, schema_editor):
    """The model that runs inside Atrium cites sentences and can nothing else; others than chat models can none of it."""
    models = apps.get_model("inference", "Model").objects.using(schema_editor.connection.alias)
    models.filter(name="local-extractive").update(capabilities=[])
    models.exclude(kind="chat").update(capabilities=[])


class Migration(migrations.Migration):
    dependencies = [
        ("inference", "0004_bedrock_deployments"),
        ("tenants", "0004_groups"),
    ]

    operations = [
        migrations.CreateModel(
            name="Fallback",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("position", models.PositiveSmallIntegerField()),
                (
                    "fallback",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="inference.model"
                    ),
                ),
                (
                    "model",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.CASCADE, related_name="fallbacks", to="inference.model"
                    ),
                ),
            ],
            options={"ordering": ("position",)},
        ),
        migrations.CreateModel(
            name="InferenceAttempt",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("generation_id", models.UUIDField()),
                ("number", models.PositiveSmallIntegerField(help_text="Usage lines carry it as their attempt.")),
                ("deployment_id", models.UUIDField(null=True)),
                ("deployment", models.CharField(max_length=100)),
                ("model", models.CharField(max_length=200)),
                ("started_at", models.DateTimeField()),
                ("latency_ms", models.FloatField()),
                ("ttft_ms", models.FloatField(help_text="Until the first token.", null=True)),
                ("input_tokens", models.BigIntegerField(db_default=0, default=0)),
                ("output_tokens", models.BigIntegerField(db_default=0, default=0)),
                ("cost", models.DecimalField(decimal_places=12, max_digits=24, null=True)),
                ("category", models.CharField(db_default="", default="", max_length=16)),
                ("code", models.CharField(db_default="", default="", max_length=100)),
                ("error_class", models.CharField(db_default="", default="", max_length=100)),
                ("retryable", models.BooleanField(null=True)),
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
                "indexes": [models.Index(fields=["tenant", "generation_id"], name="inference_attempt_generation")]
            },
        ),
        migrations.CreateModel(
            name="OwnAccountPrice",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("model", models.CharField(max_length=200)),
                (
                    "meter",
                    models.CharField(max_length=32),
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
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
        ),
        migrations.CreateModel(
            name="Variant",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                (
                    "name",
                    models.CharField(
                        max_length=64,
                        validators=[django.core.validators.RegexValidator("^[A-Za-z0-9][A-Za-z0-9._-]*$")],
                    ),
                ),
                (
                    "adapter",
                    models.CharField(
                        blank=True,
                        default="",
                        help_text="What the base's deployments know it as: a LoRA's name, or the ARN of a custom model of Bedrock.",
                        max_length=2048,
                    ),
                ),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("training", "Training"),
                            ("evaluating", "Evaluating"),
                            ("candidate", "Candidate"),
                            ("canary", "Canary"),
                            ("live", "Live"),
                            ("retired", "Retired"),
                        ],
                        db_default="training",
                        default="training",
                        max_length=16,
                    ),
                ),
                (
                    "created_at",
                    models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False),
                ),
                (
                    "base",
                    models.ForeignKey(
                        on_delete=django.db.models.deletion.PROTECT, related_name="+", to="inference.model"
                    ),
                ),
                (
                    "tenant",
                    models.ForeignKey(
                        db_index=False, editable=False, on_delete=django.db.models.deletion.PROTECT, to="tenants.tenant"
                    ),
                ),
            ],
        ),
        migrations.AddField(
            model_name="deployment",
            name="health_check",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Ask it every half minute whether it is there, not only after it failed.",
            ),
        ),
        migrations.AddField(
            model_name="deployment",
            name="max_concurrent",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Calls at once, of all workers together; more go to another deployment. Empty: no limit.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="allowed_tools",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(max_length=64),
                blank=True,
                help_text="Names of the functions that may be offered, and file_search. Empty list: none. Unset: all.",
                null=True,
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="by_tenant",
            field=models.BooleanField(db_default=False, default=False, editable=False),
        ),
        migrations.AddField(
            model_name="grant",
            name="canary_model",
            field=models.ForeignKey(
                blank=True,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="inference.model",
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="canary_share",
            field=models.PositiveSmallIntegerField(
                db_default=0,
                default=0,
                help_text="Percent of the end users (of the keys, where a call names no end user) that the canary answers.",
                validators=[django.core.validators.MaxValueValidator(100)],
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="default_max_tokens",
            field=models.PositiveIntegerField(
                blank=True, null=True, validators=[django.core.validators.MinValueValidator(1)]
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="default_temperature",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="grant",
            name="default_top_p",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="grant",
            name="fallbacks",
            field=models.BooleanField(
                db_default=True, default=True, help_text="Whether the model's fallbacks may answer instead."
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="max_temperature",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="grant",
            name="min_temperature",
            field=models.FloatField(blank=True, null=True),
        ),
        migrations.AddField(
            model_name="model",
            name="capabilities",
            field=django.contrib.postgres.fields.ArrayField(
                base_field=models.CharField(
                    choices=[
                        ("vision", "Vision"),
                        ("tools", "Tools"),
                        ("json_schema", "Json Schema"),
                        ("logprobs", "Logprobs"),
                        ("n", "Choices"),
                    ],
                    max_length=16,
                ),
                blank=True,
                db_default=["tools", "json_schema", "logprobs", "n"],
                default=inference.models.catalogue.usual_capabilities,
                help_text="Of a chat model. A request that needs another is refused before it costs anything.",
                size=None,
            ),
        ),
        migrations.AddField(
            model_name="model",
            name="strategy",
            field=models.CharField(
                choices=[
                    ("weighted", "By weight"),
                    ("least_busy", "Fewest calls under way"),
                    ("fastest", "Fastest of late"),
                ],
                db_default="weighted",
                default="weighted",
                help_text="Which deployment is asked first.",
                max_length=16,
            ),
        ),
        migrations.AddField(
            model_name="tenantdeployment",
            name="health_check",
            field=models.BooleanField(
                db_default=False,
                default=False,
                help_text="Ask it every half minute whether it is there, not only after it failed.",
            ),
        ),
        migrations.AddField(
            model_name="tenantdeployment",
            name="max_concurrent",
            field=models.PositiveIntegerField(
                blank=True,
                help_text="Calls at once, of all workers together; more go to another deployment. Empty: no limit.",
                null=True,
                validators=[django.core.validators.MinValueValidator(1)],
            ),
        ),
        migrations.AlterField(
            model_name="grant",
            name="model",
            field=models.ForeignKey(
                help_text="What answers; of a variant, its base.",
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="inference.model",
            ),
        ),
        migrations.AlterField(
            model_name="model",
            name="name",
            field=models.CharField(max_length=200, unique=True, validators=[inference.models.catalogue.not_a_variants]),
        ),
        migrations.AddConstraint(
            model_name="model",
            constraint=models.CheckConstraint(
                condition=models.Q(("name__startswith", "ft:"), _negated=True), name="inference_model_no_variant"
            ),
        ),
        migrations.AddConstraint(
            model_name="tenantdeployment",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="inference_tenantdeployment_once"),
        ),
        migrations.AddField(
            model_name="grant",
            name="canary_variant",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="inference.variant",
            ),
        ),
        migrations.AddField(
            model_name="grant",
            name="variant",
            field=models.ForeignKey(
                blank=True,
                db_constraint=False,
                null=True,
                on_delete=django.db.models.deletion.PROTECT,
                related_name="+",
                to="inference.variant",
            ),
        ),
        migrations.AddConstraint(
            model_name="variant",
            constraint=tenants.row_security.TenantOwned(name="inference_variant_owned"),
        ),
        migrations.AddConstraint(
            model_name="variant",
            constraint=models.UniqueConstraint(fields=("tenant", "name"), name="inference_variant_once"),
        ),
        migrations.AddConstraint(
            model_name="variant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    models.Q(("adapter", ""), _negated=True),
                    ("state__in", ["training", "evaluating", "retired"]),
                    _connector="OR",
                ),
                name="inference_variant_adapter",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=tenants.row_security.TenantForeignKey(field="variant", name="inference_grant_variant"),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=tenants.row_security.TenantForeignKey(
                field="canary_variant", name="inference_grant_canary_variant"
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(("canary_share__lte", 100)), name="inference_grant_share"
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("canary_model__isnull", False),
                    models.Q(("canary_share", 0), ("canary_variant__isnull", True)),
                    _connector="OR",
                ),
                name="inference_grant_canary",
            ),
        ),
        migrations.AddConstraint(
            model_name="grant",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("min_temperature__isnull", True),
                    ("max_temperature__isnull", True),
                    ("min_temperature__lte", models.F("max_temperature")),
                    _connector="OR",
                ),
                name="inference_grant_temperature",
            ),
        ),
        migrations.AddConstraint(
            model_name="fallback",
            constraint=models.UniqueConstraint(fields=("model", "position"), name="inference_fallback_position"),
        ),
        migrations.AddConstraint(
            model_name="fallback",
            constraint=models.UniqueConstraint(fields=("model", "fallback"), name="inference_fallback_once"),
        ),
        migrations.AddConstraint(
            model_name="fallback",
            constraint=models.CheckConstraint(
                condition=models.Q(("model", models.F("fallback")), _negated=True), name="inference_fallback_other"
            ),
        ),
        migrations.AddConstraint(
            model_name="inferenceattempt",
            constraint=tenants.row_security.TenantOwned(name="inference_inferenceattempt_owned"),
        ),
        migrations.AddConstraint(
            model_name="ownaccountprice",
            constraint=tenants.row_security.TenantOwned(name="inference_ownaccountprice_owned"),
        ),
        migrations.AddConstraint(
            model_name="ownaccountprice",
            constraint=models.UniqueConstraint(
                fields=("tenant", "model", "meter", "currency", "valid_from"), name="inference_ownaccountprice_once"
            ),
        ),
        migrations.AddConstraint(
            model_name="ownaccountprice",
            constraint=models.CheckConstraint(
                condition=models.Q(("amount__gte", 0)), name="inference_ownaccountprice_not_negative"
            ),
        ),
        migrations.RunPython(what_they_can, migrations.RunPython.noop),
    ]
