"""The tenants' safety policies as rows: read and remembered for a moment, changed by adding a version.

A tenant has one policy for all its models and may have others for single aliases, which count instead of it, whole. A
change is in force everywhere within four seconds.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any
from uuid import UUID

from django.db.models import BooleanField, ExpressionWrapper, Q

from tenants.audit import Actor, record
from tenants.errors import InvalidRequest
from tenants.models import Tenant
from tenants.scope import current_tenant, tenant_scope

from ..catalogue import UnknownModel
from ..models import Grant, Model, SafetyPolicy
from ..requests import parse
from .compiled import CompiledPolicy, compiled
from .policy import NOTHING, SafetySettings

PREFIX = "safepol_"
#: For every model without a policy of its own.
GENERAL = ""
_REMEMBER_SECONDS = 3.0
#: While one call asks again, the others go on with what was known, so long.
_GRACE_SECONDS = 1.0
_remembered: dict[tuple[UUID, str], tuple[CompiledPolicy | None, float]] = {}


def remembered_policy(tenant_id: UUID, alias: str) -> tuple[CompiledPolicy | None] | None:
    """What `policy_in_force` said a moment ago, in a tuple; None where it must be asked."""
    policy, until = _remembered.get((tenant_id, alias), (None, 0.0))
    now = time.monotonic()
    if until > now:
        return (policy,)
    if until > now - _GRACE_SECONDS:
        _remembered[tenant_id, alias] = policy, until + _GRACE_SECONDS
    return None


def policy_in_force(alias: str) -> CompiledPolicy | None:
    """The current tenant's policy for a model; None where nothing is screened."""
    tenant_id = current_tenant()
    with tenant_scope():
        newest = SafetyPolicy.objects.filter(alias__in=[GENERAL, alias]).order_by("alias", "-version")
        removed = ExpressionWrapper(Q(settings__isnull=True), output_field=BooleanField())
        rows = newest.distinct("alias").annotate(removed=removed).values_list("alias", "id", "removed")
        ids = {row_alias: ident for row_alias, ident, gone in rows if not gone}
        ident = ids.get(alias) or ids.get(GENERAL)
        policy = _compiled(tenant_id, ident) if ident else None
    # A tenant that goes away leaves its entries; they are small, and the newest matter.
    if len(_remembered) > 10_000:
        _remembered.clear()
    _remembered[tenant_id, alias] = (policy, time.monotonic() + _REMEMBER_SECONDS)
    return policy


@lru_cache(maxsize=128)
def _compiled(tenant_id: UUID, policy_id: UUID) -> CompiledPolicy | None:
    """A version never changes, so it is read and made ready once a process."""
    row = SafetyPolicy.objects.get(id=policy_id)
    policy = compiled(SafetySettings.model_validate(row.settings), version=str(row.id))
    return policy if any(policy.settings.names().values()) else None


def forget_policies() -> None:
    """Drop what this process remembers."""
    _remembered.clear()


def current_policy(alias: str = GENERAL) -> tuple[SafetyPolicy | None, SafetySettings]:
    """The newest version of exactly this policy, and what it says; nothing on where there is none or it was removed."""
    with tenant_scope():
        row = SafetyPolicy.objects.filter(alias=alias).order_by("-version").first()
    return row, _settings_of(row)


def settings_for(alias: str) -> SafetySettings:
    """What counts for a model: its own policy, or the general one."""
    with tenant_scope():
        row, settings = current_policy(alias)
        return settings if alias == GENERAL or (row and row.settings is not None) else current_policy()[1]


def _settings_of(row: SafetyPolicy | None) -> SafetySettings:
    return NOTHING if row is None or row.settings is None else SafetySettings.model_validate(row.settings)


def set_policy(*, settings: SafetySettings, by: Actor, alias: str = GENERAL) -> SafetyPolicy:
    """Make `settings` the current tenant's policy, for all models or for one; returns the new version.

    Raises:
        UnknownModel: `alias` is not granted.
        InvalidRequest: a moderation model that is not granted.
    """
    return _change(alias, by, lambda _: settings)


def patch_policy(*, patch: Any, by: Actor, alias: str = GENERAL) -> SafetyPolicy:
    """Change members of a policy as a JSON merge patch (RFC 7396): null removes, lists are replaced.

    Raises:
        InvalidRequest: what results is no policy; or as `set_policy`.
        UnknownModel: as `set_policy`.
    """

    def patched(before: SafetySettings) -> SafetySettings:
        return parse(SafetySettings, json.dumps(merged(before.model_dump(exclude_none=True), patch)).encode())

    return _change(alias, by, patched)


def remove_policy(*, by: Actor, alias: str = GENERAL) -> SafetyPolicy | None:
    """Remove a policy by a version that says so; None where there was none."""
    with tenant_scope():
        row = SafetyPolicy.objects.filter(alias=alias).order_by("-version").first()
        if row is None or row.settings is None:
            return None
    return _change(alias, by, lambda _: None)


def _change(alias: str, by: Actor, change: Callable[[SafetySettings], SafetySettings | None]) -> SafetyPolicy:
    with tenant_scope() as tenant_id:
        # One change of a tenant's policies at a time, so that versions follow each other.
        Tenant.objects.select_for_update(no_key=True).get(id=tenant_id)
        before = SafetyPolicy.objects.filter(alias=alias).order_by("-version").first()
        settings = change(_settings_of(before))
        if settings is not None:
            _check_models(alias, settings)
        row = SafetyPolicy.objects.create(
            tenant_id=tenant_id,
            alias=alias,
            version=before.version + 1 if before else 1,
            settings=None if settings is None else settings.model_dump(mode="json", exclude_none=True),
        )
        row.refresh_from_db(fields=["created_at"])
        record(by=by, action="safety_policy.changed", target=row, changes=_changes(row, settings))
    forget_policies()
    return row


def _changes(row: SafetyPolicy, settings: SafetySettings | None) -> dict[str, Any]:
    """What the audit log says: which screens are on, and how long the lists are, not what is in them."""
    if settings is None:
        return {"model": row.alias or None, "version": row.version, "removed": True}
    lengths = {"deny_list": len(settings.deny_list), "profanity": len(settings.profanity)}
    return {"model": row.alias or None, "version": row.version, **settings.names(), **lengths}


def _check_models(alias: str, settings: SafetySettings) -> None:
    granted = dict(Grant.objects.values_list("alias", "model__kind"))
    if alias and alias not in granted:
        raise UnknownModel(f"The model '{alias}' does not exist or is not granted.", param="model")
    for stage, asked in settings.moderations():
        if granted.get(asked.model) != Model.Kind.MODERATION:
            names = ", ".join(sorted(name for name, kind in granted.items() if kind == Model.Kind.MODERATION)) or "none"
            raise InvalidRequest(
                f"No moderation model '{asked.model}' is granted. Granted: {names}.", param=f"{stage}.moderation.model"
            )


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396."""
    if not isinstance(patch, dict):
        return patch
    base = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            base.pop(name, None)
        else:
            base[name] = merged(base.get(name), value)
    return base


@dataclass(frozen=True)
class Overview:
    """One policy of the current tenant, and which others there are."""

    row: SafetyPolicy | None
    settings: SafetySettings
    own: list[str]
    aliases: list[str]
    moderation_models: list[str]

    @property
    def version(self) -> int:
        """0 where none was ever saved."""
        return self.row.version if self.row else 0

    @property
    def removed(self) -> bool:
        """Whether there is none of this alias."""
        return self.row is None or self.row.settings is None


def overview(*, alias: str = GENERAL) -> Overview:
    """The policy of `alias`; the aliases that have one of their own, and those that could."""
    with tenant_scope():
        row, settings = current_policy(alias)
        newest = SafetyPolicy.objects.exclude(alias=GENERAL).order_by("alias", "-version").distinct("alias")
        removed = ExpressionWrapper(Q(settings__isnull=True), output_field=BooleanField())
        own = [name for name, gone in newest.annotate(removed=removed).values_list("alias", "removed") if not gone]
        kinds = dict(Grant.objects.order_by("alias").values_list("alias", "model__kind"))
    aliases = [name for name, kind in kinds.items() if kind == Model.Kind.CHAT]
    moderation = [name for name, kind in kinds.items() if kind == Model.Kind.MODERATION]
    return Overview(row, settings, own, aliases, moderation)
