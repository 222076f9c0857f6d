"""The plans an Atrium starts with, and the list prices of the two models that ship with it."""

from datetime import UTC, datetime
from decimal import Decimal

from django.db import migrations

PLANS = [
    # slug, name, requests/min, tokens/min, concurrent calls, weight
    ("standard", "Standard", 600, 500_000, 50, 1),
    ("scale", "Scale", 1_000_000, 1_000_000_000, 10_000, 2),
]
PRICES = [
    # model, meter, USD per million
    ("all-MiniLM-L6-v2", "embedding_tokens", "0.02"),
    ("local-extractive", "input_tokens", "0.10"),
    ("local-extractive", "output_tokens", "0.40"),
]


def seed(apps, schema_editor):
    plan, price = apps.get_model("billing", "Plan"), apps.get_model("billing", "Price")
    for slug, name, rpm, tpm, calls, weight in PLANS:
        plan.objects.using(schema_editor.connection.alias).create(
            slug=slug,
            name=name,
            requests_per_minute=rpm,
            tokens_per_minute=tpm,
            concurrent_calls=calls,
            weight=weight,
        )
    for model, meter, amount in PRICES:
        price.objects.using(schema_editor.connection.alias).create(
            model=model,
            meter=meter,
            currency="USD",
            amount=Decimal(amount),
            valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        )


class Migration(migrations.Migration):
    dependencies = [("billing", "0001_initial")]
    operations = [migrations.RunPython(seed, migrations.RunPython.noop)]
