"""What the operator lets a tenant use: the models that its own aliases, accounts and variants may refer to."""

from tenants.errors import InvalidRequest, NotFound

from .models import VARIANT_PREFIX, Grant, Model, Variant


def entitled_model(name: str, *, param: str) -> Model:
    """A model that the operator granted to the current tenant, under whatever alias. Call it inside the scope.

    Raises:
        NotFound: it is not in the catalogue, or not granted: the answer is the same.
    """
    granted = Grant.objects.filter(by_tenant=False, model__name=name).select_related("model").first()
    if granted is None:
        raise NotFound(f"The model '{name}' does not exist or is not granted to your tenant.", param=param)
    return granted.model


def target(text: str, *, param: str, states: tuple[str, ...]) -> tuple[Model, Variant | None]:
    """What an alias may point at: a model's name, or a variant's as `ft:<base>:<name>`. Call it inside the scope.

    Raises:
        NotFound: no such target for this tenant.
        InvalidRequest: a variant in none of `states`.
    """
    if not text.startswith(VARIANT_PREFIX):
        return entitled_model(text, param=param), None
    base, _, name = text.removeprefix(VARIANT_PREFIX).rpartition(":")
    variant = Variant.objects.filter(name=name, base__name=base).select_related("base").first()
    if variant is None:
        raise NotFound(f"No variant '{text}'.", param=param)
    if variant.state not in states:
        raise InvalidRequest(
            f"The variant '{text}' is in state '{variant.state}'; it must be {' or '.join(states)}.", param=param
        )
    return entitled_model(base, param=param), variant
