import django.db.models.functions.text
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("knowledge", "0014_store_file_states"),
    ]

    operations = [
        migrations.AddField(
            model_name="file",
            name="filename_lower",
            field=models.GeneratedField(
                db_persist=True,
                expression=django.db.models.functions.text.Lower("filename"),
                output_field=models.CharField(db_collation="C", max_length=255),
            ),
        ),
        migrations.AddIndex(
            model_name="file",
            index=models.Index(fields=["tenant", "filename_lower"], name="knowledge_file_names"),
        ),
    ]
