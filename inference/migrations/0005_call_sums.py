import django.db.models.deletion
from django.db import migrations, models

import tenants.ids
import tenants.row_security


class Migration(migrations.Migration):
    dependencies = [("inference", "0004_calls_are_found_and_traced"), ("tenants", "0001_initial")]
    operations = [
        migrations.AddIndex(
            model_name="generation",
            index=models.Index(
                condition=models.Q(("finished_at__isnull", False)),
                fields=["finished_at"],
                name="inference_generation_ended",
            ),
        ),
        migrations.CreateModel(
            name="CallHour",
            fields=[
                ("id", models.UUIDField(default=tenants.ids.uuid7, editable=False, primary_key=True, serialize=False)),
                ("start", models.DateTimeField(help_text="The first moment of the hour (UTC) in which they ended.")),
                (
                    "state",
                    models.CharField(
                        choices=[
                            ("queued", "Queued"),
                            ("running", "Running"),
                            ("completed", "Completed"),
                            ("failed", "Failed"),
                            ("cancelled", "Cancelled"),
                        ],
                        max_length=16,
                    ),
                ),
                (
                    "took",
                    models.PositiveSmallIntegerField(
                        help_text="n: from 1.1ⁿ⁻¹ to 1.1ⁿ milliseconds. 0: not measured, for nobody waited or nothing was answered."
                    ),
                ),
                ("calls", models.BigIntegerField()),
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
                    tenants.row_security.TenantOwned(name="inference_callhour_owned"),
                    models.UniqueConstraint(
                        fields=("tenant", "start", "state", "took"), name="inference_callhour_once"
                    ),
                ],
                "indexes": [models.Index(fields=["start"], name="inference_callhour_all")],
            },
        ),
        migrations.CreateModel(
            name="CallMark",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("up_to", models.DateTimeField()),
            ],
            options={
                "constraints": [models.CheckConstraint(condition=models.Q(("id", 1)), name="inference_callmark_one")]
            },
        ),
    ]
