"""Answers that are given again: inside a tenant only, to exactly the same request, as long as its grant's policy says.

Off unless a grant has a policy, and a policy needs a price for a hit (meter `cache_hits`: the contract's, the plan's or
the list's, by date, like every price; it may be 0, but somebody has to say so). A tenant that keeps no content has no
cache, and nothing is kept for longer than its content is.

The key (`keys`) holds all that an answer depends on: the grant and the target behind it, messages, parameters, tools, the
caller's groups, the revisions of the vector stores asked, the prompt's version, the safety policy's. Whatever changes
makes another key, so nothing has to be invalidated: a revoked group, a new or changed document, a moved label are other
keys from the moment of their commit. Answers under the old keys are never found again, and go by age.

A call chooses: `Cache-Control: no-store` or `"cache": false` neither looks nor keeps, `Cache-Control: no-cache` makes a
new answer and keeps that one. Kept in Postgres, in the tenant's own rows: erasable, under row security, and no second
truth that could be behind.
"""

from .calls import CACHE_HEADER, Place, place_of
from .entries import Figures, empty, figures, keep, look_up, sweep_expired
from .keys import Wish, cache_key, wish_for
from .policies import Caching, all_policies, caching_of, remove_policy, set_policy

__all__ = [
    "CACHE_HEADER",
    "Caching",
    "Figures",
    "Place",
    "Wish",
    "all_policies",
    "cache_key",
    "caching_of",
    "empty",
    "figures",
    "keep",
    "look_up",
    "place_of",
    "remove_policy",
    "set_policy",
    "sweep_expired",
    "wish_for",
]
