"""Dated exceptions from a plan's limits, for a tenant or one of its keys. Rows are added, never changed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from django.db import IntegrityError, transaction

from tenants.audit import Actor, record
from tenants.errors import AtriumError, InvalidRequest, NotFound
from tenants.models import ApiKey
from tenants.scope import tenant_scope

from ..models import Limit, LimitOverride
from .in_force import forget_limits

#: What a key may have of its own; the rest is counted for the tenant as a whole.
OF_KEYS = (
    Limit.REQUESTS_PER_MINUTE,
    Limit.TOKENS_PER_MINUTE,
    Limit.CONCURRENT_CALLS,
    Limit.USER_REQUESTS_PER_MINUTE,
    Limit.USER_TOKENS_PER_MINUTE,
    Limit.USER_CONCURRENT_CALLS,
    Limit.TOKENS_PER_MONTH,
    Limit.ALLOWED_MODELS,
)
_SMALL = (Limit.WEIGHT, Limit.PRIORITY)
_LARGE = (Limit.TOKENS_PER_MONTH, Limit.STORED_BYTES)
_MOST_NAMES = 200


class OverrideConflict(AtriumError):
    """The limit has an override that begins at the same moment."""

    status = 409
    type = "invalid_request_error"
    code = "limit_conflict"


@dataclass(frozen=True)
class NewOverride:
    """What is to be in force from a moment on. No value, and for models no names: the plan's again.

    `key_id`: the one key it is for; the tenant's where missing. `valid_from`: now where missing.
    """

    limit: str
    value: int | None = None
    names: Sequence[str] | None = None
    key_id: UUID | None = None
    valid_from: datetime | None = None
    reason: str = ""


def add_override(new: NewOverride, *, by: Actor, now: datetime) -> LimitOverride:
    """Add an override to the current tenant's; processes follow within seconds of its beginning.

    Raises:
        InvalidRequest: no such limit, one that a key cannot have, a value out of range, or a beginning in the past.
        NotFound: no such key in this tenant.
        OverrideConflict: another one begins at the same moment.
    """
    _check(new, now)
    row = LimitOverride(
        key_id=new.key_id,
        limit=new.limit,
        value=new.value,
        names=None if new.names is None else sorted(set(new.names)),
        valid_from=new.valid_from or now,
        reason=new.reason,
    )
    with tenant_scope() as tenant_id:
        if new.key_id is not None and not ApiKey.objects.filter(id=new.key_id).exists():
            raise NotFound("No such API key.", param="api_key_id")
        row.tenant_id = tenant_id
        _insert(row)
        row.refresh_from_db(fields=["created_at"])
        changes = {"limit": row.limit, "value": row.names if row.limit == Limit.ALLOWED_MODELS else row.value}
        whose = {"key": str(row.key_id)} if row.key_id else {}
        record(
            by=by,
            action="limit.overridden",
            target=row,
            changes={**changes, **whose, "valid_from": row.valid_from.isoformat(), "reason": row.reason},
        )
        # Other processes follow within seconds; this one at once.
        transaction.on_commit(forget_limits)
    return row


def _check(new: NewOverride, now: datetime) -> None:
    if new.limit not in Limit.values:
        raise InvalidRequest(f"Invalid 'limit': must be one of {', '.join(Limit.values)}.", param="limit")
    if new.key_id is not None and new.limit not in OF_KEYS:
        raise InvalidRequest(f"A key has no '{new.limit}' of its own. It may have {', '.join(OF_KEYS)}.", param="limit")
    if new.valid_from is not None and new.valid_from < now:
        raise InvalidRequest("Invalid 'valid_from': what was in force is not rewritten.", param="valid_from")
    if new.limit == Limit.ALLOWED_MODELS:
        _check_names(new)
    else:
        _check_value(new)


def _check_names(new: NewOverride) -> None:
    if new.value is not None:
        raise InvalidRequest("Say which models in 'names'; this limit has no 'value'.", param="value")
    names = new.names or ()
    if len(names) > _MOST_NAMES or any(not 0 < len(name) <= 200 for name in names):
        raise InvalidRequest(f"Invalid 'names': at most {_MOST_NAMES} names of 1 to 200 characters.", param="names")


def _check_value(new: NewOverride) -> None:
    if new.names is not None:
        raise InvalidRequest(f"'{new.limit}' has a 'value' and no 'names'.", param="names")
    least = 1 if new.limit == Limit.WEIGHT else 0
    most = 32_767 if new.limit in _SMALL else 2**63 - 1 if new.limit in _LARGE else 2**31 - 1
    if new.value is not None and not least <= new.value <= most:
        raise InvalidRequest(f"Invalid 'value': must be from {least} to {most}.", param="value")


def _insert(row: LimitOverride) -> None:
    try:
        with transaction.atomic():
            row.save(force_insert=True)
    except IntegrityError as error:
        raise OverrideConflict(
            f"An override of '{row.limit}' begins at the same moment. Let this one begin later.", param="valid_from"
        ) from error
