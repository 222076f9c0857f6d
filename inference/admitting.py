"""From what a caller asked to what is written and held for it: the same for a call at the door and a line of a batch."""

from datetime import timedelta
from uuid import UUID

from billing.budgets.quotas import quotas_of
from tenants.api_keys import Caller
from tenants.tags import tags_of_call

from .admission import Offer
from .calls import Admission, Admitted, Taken
from .endpoints import Endpoint
from .prompts import Expanded
from .terms import Terms

#: What nobody waits for may wait its turn for a day.
_BACKGROUND_LEASE = timedelta(days=1)


def admission_of(
    endpoint: Endpoint,
    caller: Caller,
    terms: Terms,
    offer: Offer,
    generation_id: UUID,
    taken: Taken,
    inbox: str = "",
    idempotency_key: str | None = None,
    mark: str | None = None,
    prompt: Expanded | None = None,
) -> Admission:
    """What is written and held for a call."""
    return Admission(
        tenant_id=caller.tenant_id,
        generation_id=generation_id,
        key_id=caller.key_id,
        kind=endpoint.kind,
        alias=terms.alias,
        model=terms.model,
        request=offer.request,
        admitted=Admitted(
            levels=taken.levels,
            taken_at=taken.at,
            estimated_tokens=offer.estimated_tokens,
            prompt_hold=offer.prompt_hold,
            output_price=offer.output_price,
            cache=offer.cache,
            output_limit=offer.output_limit,
            retention_days=caller.retention_days if offer.keeps else 0,
            end_user=offer.end_user,
            groups=caller.groups,
            prompt_version=prompt.version_id if prompt else None,
            chain=offer.chain,
            timeout=offer.timeout,
        ),
        inbox="" if offer.at_once else inbox,
        share=terms.limits.share,
        hold_min=offer.hold_min,
        hold=offer.hold,
        currency=caller.currency,
        quote=terms.prices,
        idempotency_key=idempotency_key,
        fingerprint=mark,
        lease=_BACKGROUND_LEASE if offer.background else None,
        tags=tags_of_call(caller, offer.metadata),
        tokens_min=offer.tokens_min,
        tokens=offer.tokens,
        quotas=quotas_of(caller.key_id, terms.limits),
        # Behind the tenant's calls that somebody waits for.
        priority=1 if offer.at_once else 0,
    )
