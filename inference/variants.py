"""Variants: a tenant's fine-tunes, from training to retirement, one state after the other, each step audited."""

from uuid import UUID

from django.db import IntegrityError, transaction
from django.db.models import Q

from tenants.audit import Actor, record
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.scope import tenant_scope

from .entitlements import entitled_model
from .models import Grant, Variant

PREFIX = "variant_"
_State = Variant.State
#: state → those that may follow. Back from the canary, or from live, when it did not do well.
FOLLOWS: dict[str, tuple[_State, ...]] = {
    _State.TRAINING: (_State.EVALUATING, _State.RETIRED),
    _State.EVALUATING: (_State.CANDIDATE, _State.TRAINING, _State.RETIRED),
    _State.CANDIDATE: (_State.CANARY, _State.EVALUATING, _State.RETIRED),
    _State.CANARY: (_State.LIVE, _State.CANDIDATE, _State.RETIRED),
    _State.LIVE: (_State.CANARY, _State.RETIRED),
    _State.RETIRED: (),
}


class VariantNameTaken(AtriumError):
    """Another variant has this name."""

    status = 409
    type = "invalid_request_error"
    code = "variant_name_taken"


class WrongState(AtriumError):
    """The step does not follow the state that the variant is in."""

    status = 409
    type = "invalid_request_error"
    code = "variant_state"


class InUse(AtriumError):
    """Aliases point at it."""

    status = 409
    type = "invalid_request_error"
    code = "in_use"


def create_variant(*, name: str, base: str, adapter: str, by: Actor, by_tenant: bool = True) -> Variant:
    """A new variant of the current tenant, in state `training`.

    Args:
        adapter: what the base's deployments know it as; may be given later. One that the tenant names is served by the
            tenant's own accounts only, one that the operator names by whatever serves the base.

    Raises:
        NotFound: the base is not granted.
        VariantNameTaken: the name is another's.
    """
    with tenant_scope() as tenant_id:
        model = entitled_model(base, param="base")
        if len(model.name) + len(name) > 195:
            raise InvalidRequest("The names of base and variant are too long together.", param="name")
        row = Variant(tenant_id=tenant_id, name=name, base=model, adapter=adapter, by_tenant=by_tenant)
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError as error:
            raise VariantNameTaken(f"A variant '{name}' exists.", param="name") from error
        row.refresh_from_db(fields=["created_at"])
        record(by=by, action="variant.created", target=row, changes={"name": name, "base": base, "adapter": adapter})
    return row


def find_variant(variant_id: UUID | None) -> Variant:
    """One of the current tenant's, locked. Call it inside the scope.

    Raises:
        NotFound: no such variant in this tenant.
    """
    rows = Variant.objects.select_related("base").select_for_update(of=("self",))
    row = rows.filter(id=variant_id).first() if variant_id else None
    if row is None:
        raise NotFound("No such variant.")
    return row


def look_at(*, variant_id: UUID) -> tuple[Variant, list[Grant]]:
    """A variant of the current tenant, and the aliases that name it.

    Raises:
        NotFound: no such variant in this tenant.
    """
    with tenant_scope():
        row = Variant.objects.select_related("base").filter(id=variant_id).first()
        if row is None:
            raise NotFound("No such variant.")
        return row, list(Grant.objects.filter(Q(variant=row) | Q(canary_variant=row)).order_by("alias"))


def set_adapter(*, variant_id: UUID | None, adapter: str, by: Actor, by_tenant: bool = True) -> Variant:
    """Say what the base's deployments know a variant as, before it is served.

    Raises:
        NotFound: no such variant in this tenant.
        WrongState: it is served, or was.
        InvalidRequest: the operator named it.
    """
    with tenant_scope():
        row = find_variant(variant_id)
        if row.by_tenant != by_tenant:
            raise InvalidRequest("Who created the variant names its adapter.", param="adapter")
        if row.state in (*Variant.SERVED, _State.RETIRED):
            raise WrongState(f"The adapter of a variant in state '{row.state}' does not change.", param="adapter")
        record(by=by, action="variant.changed", target=row, changes={"adapter": [row.adapter, adapter]})
        row.adapter = adapter
        row.save(update_fields=["adapter"])
    return row


def move_variant(*, variant_id: UUID | None, state: str, by: Actor) -> Variant:
    """Take a variant to its next state.

    Raises:
        NotFound: no such variant in this tenant.
        WrongState: that state does not follow the present one.
        InvalidRequest: it has no adapter, so no server could know it.
    """
    with tenant_scope():
        row = find_variant(variant_id)
        if state not in FOLLOWS[row.state]:
            after = " or ".join(FOLLOWS[row.state]) or "nothing"
            raise WrongState(f"After '{row.state}' comes {after}, not '{state}'.", param="state")
        if not row.adapter and state in (_State.CANDIDATE, *Variant.SERVED):
            raise InvalidRequest("The variant has no adapter yet.", param="adapter")
        record(by=by, action="variant.moved", target=row, changes={"state": [row.state, state]})
        row.state = state
        row.save(update_fields=["state"])
    return row


def delete_variant(*, variant_id: UUID | None, by: Actor) -> None:
    """Forget a variant that no alias points at; its usage stays in the ledger.

    Raises:
        NotFound: no such variant in this tenant.
        InUse: an alias points at it.
    """
    with tenant_scope():
        row = find_variant(variant_id)
        aliases = list(Grant.objects.filter(Q(variant=row) | Q(canary_variant=row)).values_list("alias", flat=True))
        if aliases:
            raise InUse(f"Aliases point at the variant: {', '.join(sorted(aliases))}. Point them elsewhere first.")
        record(by=by, action="variant.deleted", target=row, changes={"name": row.name})
        row.delete()
