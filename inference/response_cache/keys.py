"""Whether a call's answer may come from the cache or go into it, and the key under which."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Any
from uuid import UUID

import orjson

from knowledge.models import VectorStore
from tenants.scope import tenant_scope

from ..requests import ChatRequest
from .policies import Caching

#: Part of every key, so that a release that answers otherwise finds nothing of the one before.
_VERSION = 1


@dataclass(frozen=True)
class Wish:
    """What a call wants of the cache: to look, to keep for `ttl_seconds`, or both; under which grant."""

    grant_id: UUID
    ttl_seconds: int
    looks: bool = True

    def asked(self, cache_control: str) -> "Wish | None":
        """What is left of it by the request's `Cache-Control`."""
        said = {part.strip().lower() for part in cache_control.split(",")}
        if "no-store" in said:
            return None
        return replace(self, looks=False) if "no-cache" in said else self

    def within(self, retention_days: int) -> "Wish | None":
        """What is left of it where the tenant keeps content for so long (0: not at all)."""
        seconds = min(self.ttl_seconds, retention_days * 86_400)
        return replace(self, ttl_seconds=seconds) if seconds > 0 else None

    def as_json(self) -> list[Any]:
        """For the generation's row."""
        return [self.grant_id.hex, self.ttl_seconds, self.looks]

    @classmethod
    def from_json(cls, data: list[Any] | None) -> "Wish | None":
        """From the row."""
        return None if data is None else cls(UUID(hex=data[0]), data[1], data[2])


def wish_for(request: ChatRequest, caching: Caching | None) -> Wish | None:
    """What a call wants of the cache by its grant's policy and its body; None: nothing."""
    if caching is None or request.cache is False or not (caching.any_request or _is_deterministic(request)):
        return None
    return Wish(caching.grant_id, caching.ttl_seconds)


def _is_deterministic(request: ChatRequest) -> bool:
    """Whether the client asks for the same answer each time, as far as models go."""
    return request.temperature == 0 or request.seed is not None


def cache_key(
    wish: Wish,
    request: ChatRequest,
    *,
    form: str,
    targets: Any,
    output_limit: int,
    groups: Collection[str],
    revisions: Mapping[str, int],
    versions: Mapping[str, Any],
) -> bytes:
    """32 bytes: equal for calls that would be answered from the same state of everything, for nobody else.

    Args:
        form: the kind of answer, such as `chat`.
        targets: the models that may answer, the adapters of variants included; JSON.
        groups: the caller's, by which documents are found.
        revisions: of the vector stores that are asked.
        versions: of prompt, safety policy and whatever else an answer depends on; JSON.
    """
    parts = {
        "version": _VERSION,
        "grant": wish.grant_id.hex,
        "form": form,
        "targets": targets,
        "request": request.upstream_body(),
        "tools": request.tools,
        "output_limit": output_limit,
        "groups": sorted(groups),
        "revisions": dict(revisions),
        "versions": dict(versions),
    }
    return sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).digest()


def revisions_of(store_ids: Collection[UUID]) -> dict[str, int] | None:
    """The revisions of vector stores of the current tenant; None where one is missing, which retrieval will say.

    Read before the documents are: what is found then is of these revisions or newer, and a newer one has another key.
    """
    with tenant_scope():
        rows = dict(VectorStore.objects.filter(id__in=set(store_ids), expired_at=None).values_list("id", "revision"))
    if rows.keys() != set(store_ids):
        return None
    return {store_id.hex: revision for store_id, revision in rows.items()}
