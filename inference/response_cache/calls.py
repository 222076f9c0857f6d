"""A call at the response cache: where its answer stands, or may be kept."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from django.db import DatabaseError

from tenants.ids import parse_public_id

from ..providers.base import Completion, Usage
from ..requests import ChatRequest
from ..threads import in_thread
from .entries import keep, look_up
from .keys import Wish, cache_key, revisions_of

if TYPE_CHECKING:
    from ..calls import Call

log = structlog.get_logger("atrium.generation")

#: Says whether an answer came from the cache, on calls that looked there.
CACHE_HEADER = "x-atrium-cache"


@dataclass(frozen=True)
class Place:
    """A call's place in the cache, and what was found there."""

    wish: Wish
    key: bytes
    found: Completion | None

    async def keep(self, choices: list[dict[str, Any]], usage: Usage) -> None:
        """Keep the call's answer here. A call is not lost for an answer that could not be kept."""
        try:
            await in_thread(keep, self.wish, self.key, choices, usage)
        except DatabaseError:
            log.warning("an answer could not be kept", exc_info=True)


async def place_of(call: "Call", request: ChatRequest, *, targets: Any, versions: Mapping[str, Any]) -> Place | None:
    """The place of a chat completion; None where it has none: nothing is asked of the database then.

    Look before documents are searched for: the key has the revisions that the search then finds, or older ones.

    Args:
        targets, versions: as `cache_key` has them.
    """
    if call.kind != "chat":
        return None
    wish = call.admitted.cache and call.admitted.cache.within(call.admitted.retention_days)
    return await in_thread(_place, call, request, wish, targets, versions) if wish else None


def _place(call: "Call", request: ChatRequest, wish: Wish, targets: Any, versions: Mapping[str, Any]) -> Place | None:
    search = request.file_search() if request.tools else None
    stores = [parse_public_id("vs_", text) for text in search.vector_store_ids] if search else []
    known = [store for store in stores if store is not None]
    revisions = revisions_of(known) if known else {}
    if revisions is None or len(known) < len(stores):
        return None  # retrieval says what is missing
    key = cache_key(
        wish,
        request,
        form=call.kind,
        targets=targets,
        output_limit=call.admitted.output_limit,
        groups=call.admitted.groups,
        revisions=revisions,
        versions=versions,
    )
    return Place(wish, key, look_up(key) if wish.looks else None)
