import django.db.models.deletion
import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("tenants", "0009_tags_and_mail"),
    ]

    operations = [
        migrations.RenameField("webhookendpoint", "description", "name"),
        migrations.AlterField("webhookendpoint", "name", models.CharField(max_length=200)),
        migrations.AddField(
            model_name="webhookendpoint",
            name="updated_at",
            field=models.DateTimeField(
                db_default=django.db.models.functions.datetime.Now(),
                editable=False,
                help_text="Of what a person sets.",
            ),
        ),
        # The database itself removes what hangs on them.
        migrations.AlterField(
            model_name="webhookdelivery",
            name="endpoint",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="deliveries",
                to="tenants.webhookendpoint",
            ),
        ),
        migrations.AlterField(
            model_name="webhookdelivery",
            name="event",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="deliveries",
                to="tenants.webhookevent",
            ),
        ),
    ]
