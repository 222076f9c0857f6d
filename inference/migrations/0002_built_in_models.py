"""The two models that ship with Atrium and run inside its workers. One cites sentences; neither can anything else."""

from django.db import migrations


def seed(apps, schema_editor):
    alias = schema_editor.connection.alias
    model, deployment = apps.get_model("inference", "Model"), apps.get_model("inference", "Deployment")
    extractive = model.objects.using(alias).create(
        name="local-extractive", kind="chat", context_window=32_768, max_output_tokens=2_048, capabilities=[]
    )
    minilm = model.objects.using(alias).create(
        name="all-MiniLM-L6-v2",
        kind="embedding",
        context_window=256,
        max_output_tokens=1,
        dimensions=384,
        capabilities=[],
    )
    deployment.objects.using(alias).create(model=extractive, name="in the worker", provider="local-extractive")
    deployment.objects.using(alias).create(model=minilm, name="in the worker", provider="local-minilm")


class Migration(migrations.Migration):
    dependencies = [("inference", "0001_initial")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
