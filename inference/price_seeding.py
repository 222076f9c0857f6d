"""The catalogue's models as their providers know them, so that list prices can be taken from what those publish."""

from collections.abc import Collection
from datetime import datetime
from decimal import Decimal

from billing.models import Meter
from billing.prices.seeding import Seeded, Served, seed
from tenants.audit import Actor
from tenants.errors import NotFound
from tenants.scope import as_staff

from .models import Deployment, DeploymentBase, Model

_Provider = DeploymentBase.Provider
#: A provider whose prices are published under a name, not under the address that answers.
_PUBLIC = {str(_Provider.BEDROCK): "aws"}
_TEXT = {str(meter): str(meter) for meter in (Meter.INPUT_TOKENS, Meter.CACHED_INPUT_TOKENS, Meter.OUTPUT_TOKENS)}
_READ = {str(Meter.INPUT_TOKENS): str(Meter.EMBEDDING_TOKENS)}
#: What of a model of each kind is priced by tokens, in the words of those who publish → in ours.
_METERS: dict[str, dict[str, str]] = {
    str(Model.Kind.CHAT): _TEXT,
    str(Model.Kind.EMBEDDING): _READ,
    str(Model.Kind.RERANK): _READ,
}


def seed_prices(
    *,
    models: Collection[str],
    by: Actor,
    now: datetime,
    markup: Decimal = Decimal(0),
    replace: bool = False,
) -> Seeded:
    """`seed` for these models of the catalogue, for all of them where none is named; of the platform's deployments.

    Raises:
        NotFound: one is not in the catalogue.
    """
    with as_staff():
        rows = Deployment.objects.filter(enabled=True).select_related("model").order_by("model__name", "id")
        if models:
            known = set(Model.objects.filter(name__in=models).values_list("name", flat=True))
            if missing := sorted(set(models) - known):
                raise NotFound(f"Not in the catalogue: {', '.join(missing)}.", param="model")
            rows = rows.filter(model__name__in=models)
        served = [_served(row) for row in rows if row.model.kind in _METERS]
    return seed(served=served, by=by, now=now, markup=markup, replace=replace)


def _served(row: Deployment) -> Served:
    return Served(
        name=row.model.name,
        upstream=row.upstream_model,
        provider=row.provider,
        meters=_METERS[row.model.kind],
        public=_PUBLIC.get(row.provider),
        url=row.base_url or None,
    )
