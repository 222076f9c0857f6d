"""List prices from what providers publish: dated, taken once, and never over what somebody set."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, Provider, Tier, TieredPrices

from billing.models import Price, ProviderPrice
from billing.prices.public import published
from inference.models import Deployment, Model
from tenants.scope import as_staff
from tests.tenants.committed import _django_db_helper, committed, pytest_collection_modifyitems

__all__ = ["_django_db_helper", "committed", "pytest_collection_modifyitems"]

NAMES = ("seed-chat", "seed-embed", "seed-own")
OPENAI = "https://api.openai.com/v1"


def data(output: str) -> DataSnapshot:
    """A provider that publishes three prices; that of its answers is `output`."""
    reading = TieredPrices(base=Decimal("2.5"), tiers=[Tier(start=200_000, price=Decimal(5))])
    chat = ModelPrice(input_mtok=reading, cache_read_mtok=Decimal("0.25"), output_mtok=Decimal(output))
    models = [
        ModelInfo(id="big", match=ClauseEquals(equals="big"), prices=chat),
        ModelInfo(id="vectors", match=ClauseEquals(equals="vectors"), prices=ModelPrice(input_mtok=Decimal("0.02"))),
    ]
    openai = Provider(id="openai", name="OpenAI", api_pattern=r"https://api\.openai\.com", models=models)
    return DataSnapshot(providers=[openai], from_auto_update=False)


@pytest.fixture
def catalogue(committed: Any) -> Iterator[None]:
    with as_staff():
        for name, kind, url, upstream in (
            ("seed-chat", "chat", OPENAI, "big"),
            ("seed-chat", "chat", OPENAI + "/", "big"),
            ("seed-embed", "embedding", OPENAI, "vectors"),
            ("seed-own", "chat", "http://gpu.internal/v1", "big"),
        ):
            model, _ = Model.objects.get_or_create(
                name=name, kind=kind, defaults={"context_window": 1_000, "max_output_tokens": 100}
            )
            Deployment.objects.create(
                model=model, name=f"{name} {url}", provider="openai", base_url=url, upstream_model=upstream
            )
    set_custom_snapshot(data("10"))
    yield
    set_custom_snapshot(None)
    with as_staff():
        Deployment.objects.filter(model__name__in=NAMES).delete()
        Model.objects.filter(name__in=NAMES).delete()
        for rows in (Price, ProviderPrice):
            rows.objects.filter(model__in=NAMES).delete()


def amounts(rows: Any) -> dict[tuple[str, str], list[Decimal]]:
    """The amounts per million tokens of each model's meter, oldest first."""
    found: dict[tuple[str, str], list[Decimal]] = {}
    with as_staff():
        for row in rows.objects.filter(model__in=NAMES).order_by("id"):
            assert (row.currency, row.per) == ("USD", 1_000_000)
            found.setdefault((row.model, row.meter), []).append(row.amount)
    return found


def seeded(capsys: Any, *options: str) -> dict[str, Any]:
    call_command("seed_prices", "--json", *options, *[f"--model={name}" for name in NAMES])
    return json.loads(capsys.readouterr().out)


def test_list_prices_are_seeded_dated_and_followed(catalogue: None, capsys: Any) -> None:
    first = seeded(capsys, "--markup=20")
    assert first == {
        "added": 8, "unchanged": 0, "kept": [], "unknown": ["seed-own"],
        "higher for longer prompts": ["seed-chat above 200000 tokens"],
    }  # fmt: skip
    listed = {
        ("seed-chat", "input_tokens"): [3], ("seed-chat", "cached_input_tokens"): [Decimal("0.3")],
        ("seed-chat", "output_tokens"): [12], ("seed-embed", "embedding_tokens"): [Decimal("0.024")],
    }  # fmt: skip
    paid = {
        ("seed-chat", "input_tokens"): [Decimal("2.5")], ("seed-chat", "cached_input_tokens"): [Decimal("0.25")],
        ("seed-chat", "output_tokens"): [10], ("seed-embed", "embedding_tokens"): [Decimal("0.02")],
    }  # fmt: skip
    assert (amounts(Price), amounts(ProviderPrice)) == (listed, paid)
    with as_staff():
        rows = [*Price.objects.filter(model__in=NAMES), *ProviderPrice.objects.filter(model__in=NAMES)]
    today = datetime.now(UTC).date()
    assert {row.valid_from.date() for row in rows} == {today}
    assert all(row.source.startswith("genai-prices ") and row.source.endswith(f", {today}") for row in rows)
    assert {row.provider for row in rows if isinstance(row, ProviderPrice)} == {"openai"}

    assert seeded(capsys, "--markup=20")["added"] == 0
    set_custom_snapshot(data("15"))
    again = seeded(capsys, "--markup=20")
    assert (again["added"], again["unchanged"]) == (2, 6)
    assert amounts(Price)["seed-chat", "output_tokens"] == [12, 18]
    assert amounts(ProviderPrice)["seed-chat", "output_tokens"] == [10, 15]


def test_a_price_that_somebody_set_is_theirs(catalogue: None, capsys: Any) -> None:
    with as_staff():
        Price.objects.create(
            model="seed-chat",
            meter="input_tokens",
            currency="USD",
            amount=7,
            valid_from=datetime(2026, 1, 1, tzinfo=UTC),
        )
    first = seeded(capsys)
    assert (first["added"], first["kept"]) == (7, ["seed-chat input_tokens"])
    assert amounts(Price)["seed-chat", "input_tokens"] == [7]
    assert seeded(capsys, "--replace")["added"] == 1
    assert amounts(Price)["seed-chat", "input_tokens"] == [7, Decimal("2.5")]


def test_a_model_that_is_not_in_the_catalogue_is_named(catalogue: None) -> None:
    with pytest.raises(CommandError, match="Not in the catalogue: seed-none"):
        call_command("seed_prices", "--model=seed-none", "--model=seed-chat")
    assert amounts(Price) == {}


def test_the_data_that_is_installed_knows_the_large_providers() -> None:
    now = datetime(2026, 11, 21, tzinfo=UTC)
    found = published(model="gpt-4o", now=now, url=OPENAI)
    assert found is not None and found.amounts["input_tokens"] == Decimal("2.5")
    assert published(model="amazon.nova-pro-v1:0", now=now, provider="aws") is not None
    # A name alone may be anybody's: a server of one's own that calls its model so has no published price.
    assert published(model="gpt-4o", now=now) is None
    assert published(model="gpt-4o", now=now, url="http://gpu.internal/v1") is None
