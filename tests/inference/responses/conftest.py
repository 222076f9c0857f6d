"""Responses as admission and a worker leave them, without either."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
import pytest

from inference.admission import Asker
from inference.catalogue import Terms, forget_terms, terms
from inference.models import Generation
from inference.providers.base import Completion, Usage
from inference.responses.asking import StoredRequest, chat_of, offer_response
from inference.responses.history import Sight
from inference.responses.transcript import ResponseTranscript
from tenants.authentication import authenticate_key
from tenants.ids import public_id, uuid7
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member

MODEL = "local-extractive"
_ALL = Sight(None)


@dataclass(frozen=True)
class Row:
    """An admitted response."""

    member: Member
    id: UUID
    stored: dict[str, Any]
    output_limit: int

    @property
    def public(self) -> str:
        return public_id("resp_", self.id)

    def chat(self, groups: frozenset[str] = frozenset()) -> list[dict[str, Any]]:
        """The messages that its worker would send."""
        with acting_for(self.member.tenant.id):
            messages = chat_of(StoredRequest.model_validate(self.stored), groups=groups).chat.messages
        return [message.model_dump(exclude_none=True) for message in messages]

    def end(self, said: dict[str, Any] | str, *, state: str = "completed", retention_days: int = 30) -> None:
        """Settle it with what the model said."""
        message = {"content": said} if isinstance(said, str) else said
        transcript = ResponseTranscript(StoredRequest.model_validate(self.stored), id=self.id, created=1)
        transcript.take_whole(Completion([{"message": message}], Usage(1, 1)))
        now = datetime.now(UTC)
        kept = retention_days > 0
        with acting_for(self.member.tenant.id), tenant_scope():
            Generation.objects.filter(id=self.id).update(
                state=state,
                answer=transcript.completion(Usage(1, 1)) if state == "completed" and kept else None,
                **({} if kept else {"request": None}),
                finished_at=now,
                contents_until=now + timedelta(days=retention_days),
            )


Admit = Callable[..., Row]


@pytest.fixture
def admit() -> Admit:
    """Admit a response of a member; keyword arguments are members of its body."""
    forget_terms()

    def admit(
        member: Member, sight: Sight = _ALL, groups: tuple[str, ...] = (), window: int = 8_000, **body: Any
    ) -> Row:
        ident = uuid7()
        sent = {"model": MODEL, "input": "hi", **body}
        tenant = member.tenant
        with acting_for(tenant.id):
            known = terms(alias=MODEL, kind="chat", currency="USD")
        narrow = Terms(**{**known.__dict__, "context_window": window, "chain": ()})
        caller = replace(
            authenticate_key(member.key), groups=sight.groups or frozenset(), limited=sight.groups is not None
        )
        offer = offer_response(orjson.dumps(sent), narrow, Asker(caller, ident, datetime.now(UTC)))
        stored = orjson.loads(offer.request)
        with acting_for(tenant.id), tenant_scope():
            Generation.objects.create(
                id=ident, tenant_id=tenant.id, kind="response", key_id=uuid7(), alias=MODEL, model=MODEL, inbox="",
                request=stored, terms={"groups": list(groups)},
            )  # fmt: skip
        return Row(member, ident, stored, offer.output_limit)

    return admit
