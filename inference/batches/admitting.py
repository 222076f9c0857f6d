"""Admission of a line: the same offer, terms and reservation as of any call, by the key that made the batch.

No rate limits: a line takes no place among them, so it has no levels to give back.
"""

import time
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

import orjson

from tenants.api_keys import Caller
from tenants.errors import InvalidRequest
from tenants.ids import uuid7
from tenants.work import BATCH_LINES

from .. import catalogue
from ..admission import Asker
from ..admitting import admission_of
from ..calls import Admission, Taken
from ..endpoints import ENDPOINTS
from ..models import Batch, BatchLine
from ..prompts import Reference, expand
from ..terms import sticks_to

#: A line may wait for its turn until the batch expires, and its hold with it.
_GRACE = timedelta(hours=1)
#: Nobody listens, and the turns of a conversation would come in any order.
_NOT_IN_BATCHES = ("stream", "background", "conversation")


def admission_of_line(batch: Batch, line: BatchLine, *, caller: Caller, now: datetime) -> Admission:
    """What is written and held for a line.

    Raises:
        InvalidRequest, ContextLengthExceeded, UnknownModel …: what the call would be refused with.
    """
    data = orjson.loads(line.body)
    for name in _NOT_IN_BATCHES:
        if data.get(name):
            raise InvalidRequest(f"'{name}' cannot be used in a batch.", param=name)
    endpoint, prompt = ENDPOINTS[batch.endpoint], None
    if data.get("prompt") is not None and endpoint.expand is not None:
        prompt = expand(Reference.read(data["prompt"]), now=time.monotonic())
        data = endpoint.expand(data, prompt)
    terms = catalogue.terms(alias=_alias(data), kind=endpoint.model_kind, currency=caller.currency)
    catalogue.check_key(terms, caller.key_id)
    terms = terms.chosen_for(sticks_to(data, end_user=None, key_id=caller.key_id))
    ident = uuid7()
    offer = endpoint.offer(orjson.dumps(data), terms, Asker(caller, ident, now))
    if offer.cache is not None:
        asked = offer.cache.asked("")
        offer = replace(offer, cache=asked and asked.within(caller.retention_days))
    admission = admission_of(endpoint, caller, terms, offer, ident, taken=Taken([]), prompt=prompt)
    lease = batch.expires_at - now + _GRACE
    return replace(admission, queue=BATCH_LINES, line_id=line.id, lease=lease)


def _alias(body: dict[str, Any]) -> str:
    alias = body.get("model")
    if not isinstance(alias, str) or not alias:
        raise InvalidRequest("You must provide 'model', a string.", param="model")
    return alias
