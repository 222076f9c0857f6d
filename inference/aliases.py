"""Aliases that a tenant points itself: at the models it was granted, and at its variants of them.

The operator's own grants are out of a tenant's reach; their bounds hold for its aliases of the same model too.
"""

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.db import IntegrityError, transaction

from tenants.audit import Actor, record
from tenants.errors import AtriumError, InvalidRequest, NotFound, PermissionDenied
from tenants.scope import tenant_scope

from .entitlements import target as target_of
from .models import Grant, Model, Variant

PREFIX = "grant_"
#: What a grant says beside its target; see `models.Grant`.
SETTINGS = (
    "fallbacks", "max_output_tokens", "default_max_tokens", "default_temperature", "default_top_p", "min_temperature",
    "max_temperature", "allowed_tools",
)  # fmt: skip


class AliasTaken(AtriumError):
    """Another grant of the tenant has this alias."""

    status = 409
    type = "invalid_request_error"
    code = "alias_taken"


def create_alias(
    *, alias: str, target: str, canary_target: str | None, canary_share: int, settings: Mapping[str, Any], by: Actor
) -> Grant:
    """A new alias of the current tenant.

    Args:
        target, canary_target: a model's name, or a variant's as `ft:<base>:<name>`.
        settings: of `SETTINGS`.

    Raises:
        NotFound: a target that this tenant does not have.
        InvalidRequest: bounds that contradict each other, or a canary of another kind.
        AliasTaken: the alias is in use.
    """
    with tenant_scope() as tenant_id:
        row = Grant(tenant_id=tenant_id, alias=alias, by_tenant=True)
        changes = _point(row, target=target, canary_target=canary_target, canary_share=canary_share)
        changes |= _set(row, settings)
        try:
            with transaction.atomic():
                row.save(force_insert=True)
        except IntegrityError as error:
            raise AliasTaken(f"The alias '{alias}' is in use.", param="alias") from error
        row.refresh_from_db(fields=["created_at"])
        record(by=by, action="grant.created", target=row, changes={"alias": alias, **changes})
    return row


def change_alias(*, grant_id: UUID | None, changed: Mapping[str, Any], by: Actor) -> Grant:
    """Change what is named in `changed`: `target`, `canary_target`, `canary_share`, and any of `SETTINGS`.

    Raises:
        NotFound, InvalidRequest: as `create_alias`.
        PermissionDenied: it is the operator's grant.
    """
    with tenant_scope():
        row = _own(grant_id)
        changes = _point(
            row,
            target=changed.get("target") or target_name(row.model, row.variant),
            canary_target=changed["canary_target"] if "canary_target" in changed else canary_name(row),
            canary_share=changed.get("canary_share", row.canary_share),
        )
        changes |= _set(row, {name: value for name, value in changed.items() if name in SETTINGS})
        row.save()
        record(by=by, action="grant.changed", target=row, changes=changes)
    return row


def delete_alias(*, grant_id: UUID | None, by: Actor) -> None:
    """Take an alias away; calls under way end as they began.

    Raises:
        NotFound: no such grant in this tenant.
        PermissionDenied: it is the operator's grant.
    """
    with tenant_scope():
        row = _own(grant_id)
        record(by=by, action="grant.deleted", target=row, changes={"alias": row.alias})
        row.delete()


def target_name(model: Model, variant: Variant | None) -> str:
    """A target as clients name it."""
    return model.name if variant is None else f"ft:{model.name}:{variant.name}"


def canary_name(row: Grant) -> str | None:
    """The canary's target, if there is one."""
    return None if row.canary_model is None else target_name(row.canary_model, row.canary_variant)


def _own(grant_id: UUID | None) -> Grant:
    row = Grant.objects.filter(id=grant_id).first() if grant_id else None
    if row is None:
        raise NotFound("No such grant.")
    if not row.by_tenant:
        raise PermissionDenied("This grant is the operator's. Make an alias of your own for the same model.")
    return row


def _point(row: Grant, *, target: str, canary_target: str | None, canary_share: int) -> dict[str, Any]:
    row.model, row.variant = target_of(target, param="target", states=(Variant.State.LIVE,))
    row.canary_model = row.canary_variant = None
    if canary_target:
        row.canary_model, row.canary_variant = target_of(canary_target, param="canary_target", states=Variant.SERVED)
        if row.canary_model.kind != row.model.kind:
            raise InvalidRequest("The canary must be of the same kind as the target.", param="canary_target")
    elif canary_share:
        raise InvalidRequest("A share needs a canary_target.", param="canary_share")
    row.canary_share = canary_share
    return {"target": target, "canary_target": canary_target, "canary_share": canary_share}


def _set(row: Grant, settings: Mapping[str, Any]) -> dict[str, Any]:
    for name, value in settings.items():
        setattr(row, name, value)
    low, high = row.min_temperature, row.max_temperature
    if low is not None and high is not None and low > high:
        raise InvalidRequest("'min_temperature' must not be above 'max_temperature'.", param="min_temperature")
    usual = row.default_temperature
    if usual is not None and not (0 if low is None else low) <= usual <= (2 if high is None else high):
        raise InvalidRequest("'default_temperature' lies outside the range.", param="default_temperature")
    return dict(settings)
