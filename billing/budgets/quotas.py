"""Tokens a month: the plan's quota, or what overrides it for a tenant or a key. `sql/token_quotas.sql` counts them."""

from dataclasses import dataclass
from uuid import UUID

from ..limits.in_force import Limits, limits_in_force
from ..models import Limit, Meter

#: What counts: tokens that models read and write (`counts_to_quota` in SQL).
TOKEN_METERS = frozenset(
    map(
        str,
        (
            Meter.INPUT_TOKENS,
            Meter.CACHED_INPUT_TOKENS,
            Meter.OUTPUT_TOKENS,
            Meter.REASONING_TOKENS,
            Meter.EMBEDDING_TOKENS,
        ),
    )
)


@dataclass(frozen=True)
class Quotas:
    """The tokens that a key, and its tenant, may use in a calendar month (UTC); 0: no limit."""

    key: int = 0
    tenant: int = 0


NO_QUOTAS = Quotas()


def quotas_of(key_id: UUID | None, limits: Limits | None = None) -> Quotas:
    """Those in force for a key of the current tenant (None: no key), by `limits`, which are looked up where missing."""
    found = limits or limits_in_force()
    own = found.of_key(key_id, Limit.TOKENS_PER_MONTH) if key_id else None
    return Quotas(key=own or 0, tenant=found.value(Limit.TOKENS_PER_MONTH))
