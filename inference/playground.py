"""What the playground offers to choose from, a former request to start from, and what a call came to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from django.db.models import Sum

from billing.models import UsageRecord
from knowledge.models import VectorStore
from tenants.errors import AtriumError, NotFound
from tenants.ids import parse_public_id, public_id
from tenants.models import Tenant
from tenants.scope import tenant_scope

from .feedback.giving import KINDS
from .model_cards import ModelCard, model_cards
from .models import Generation, InferenceAttempt, Model, Prompt, PromptVersion, Variant
from .prompts.library import PREFIX as PROMPT_PREFIX
from .prompts.library import get_prompt, labels_of
from .requests import ChatRequest, parse
from .responses.asking import StoredRequest, chat_of

#: The newest of each; who has more finds the rest by the API.
MOST_OFFERED = 200
_SYSTEM = ("system", "developer")


class ContentsGone(AtriumError):
    """The request is known, but what it said is no longer kept."""

    status = 410
    type = "invalid_request_error"
    code = "contents_gone"


@dataclass(frozen=True)
class Offered:
    """What can be chosen. `waiting` are variants that no call reaches yet."""

    models: Sequence[ModelCard]
    waiting: Sequence[Variant]
    prompts: Sequence[tuple[Prompt, Mapping[str, int]]]
    stores: Sequence[VectorStore]
    currency: str


@dataclass(frozen=True)
class Former:
    """A former call as the playground's form has it. `left_out` says what the form has no place for."""

    id: str
    model: str
    instructions: str
    turns: Sequence[tuple[str, str]]
    stores: Sequence[str]
    parameters: Mapping[str, Any]
    left_out: Sequence[str] = field(default_factory=list)


@dataclass(frozen=True)
class CallFacts:
    """What a call came to; `cost` is None until it is settled."""

    id: UUID
    state: str
    model: str
    cost: Decimal | None
    currency: str
    attempts: int


def offered(*, now: datetime) -> Offered:
    """What the current tenant may choose from."""
    with tenant_scope() as tenant_id:
        prompts = list(Prompt.objects.filter(deleted_at__isnull=True, newest__gt=0).order_by("name")[:MOST_OFFERED])
        labels = labels_of(prompts)
        waiting = Variant.objects.exclude(state__in=[Variant.State.LIVE, Variant.State.RETIRED]).select_related("base")
        return Offered(
            models=model_cards(now=now, kind=Model.Kind.CHAT),
            waiting=list(waiting.order_by("name")[:MOST_OFFERED]),
            prompts=[(prompt, labels[prompt.id]) for prompt in prompts],
            stores=list(VectorStore.objects.filter(expired_at__isnull=True).order_by("-id")[:MOST_OFFERED]),
            currency=Tenant.objects.values_list("currency", flat=True).get(id=tenant_id),
        )


def prompt_versions(*, prompt_id: UUID) -> list[PromptVersion]:
    """The newest versions of a prompt, newest first.

    Raises:
        PromptNotFound: there is none.
    """
    with tenant_scope():
        prompt = get_prompt(prompt_id=prompt_id)
        return list(PromptVersion.objects.filter(prompt=prompt).order_by("-number")[:MOST_OFFERED])


def call_id_of(text: str) -> UUID | None:
    """The generation that an id means, in any of the forms in which people have it."""
    found = (parse_public_id(prefix, text.strip()) for prefix in KINDS)
    ident = next((ident for ident in found if ident is not None), None)
    if ident is not None:
        return ident
    try:
        return UUID(text.strip())
    except ValueError:
        return None


def call_facts(*, call_id: str) -> CallFacts:
    """What a call of the current tenant came to.

    Raises:
        NotFound: no such call.
    """
    with tenant_scope() as tenant_id:
        row = _call(call_id)
        lines = UsageRecord.objects.filter(tenant_id=tenant_id, request_id=row.id, corrects__isnull=True)
        total = lines.order_by("currency").values("currency").annotate(sum=Sum("cost")).first()
        answered = InferenceAttempt.objects.filter(generation_id=row.id).order_by("number")
        models = list(answered.values_list("model", flat=True))
    return CallFacts(
        id=row.id,
        state=row.state,
        model=models[-1] if models else row.model,
        cost=total["sum"] if total else None,
        currency=total["currency"] if total else "",
        attempts=len(models),
    )


def former_request(*, call_id: str) -> Former:
    """A former call, for the form.

    Raises:
        NotFound: no such call.
        ContentsGone: what it said is no longer kept.
    """
    with tenant_scope():
        row = _call(call_id, content=True)
        if row.request is None or row.kind not in (Generation.Kind.CHAT, Generation.Kind.RESPONSE):
            raise ContentsGone("What this call said is no longer kept, so it cannot be tried again.")
        chat = _chat(row)
        prompt = _prompt_of(row)
    system = [message.text() for message in chat.messages if message.role in _SYSTEM]
    said = [message for message in chat.messages if message.role in ("user", "assistant") and message.text()]
    search = chat.file_search()
    return Former(
        id=str(row.id),
        model=row.alias,
        instructions="\n\n".join(system),
        turns=[(message.role, message.text()) for message in said],
        stores=search.vector_store_ids if search else [],
        parameters=_parameters(chat),
        left_out=[*prompt, *_left_out(chat)],
    )


def _call(text: str, *, content: bool = False) -> Generation:
    ident = call_id_of(text)
    rows = Generation.objects.all() if content else Generation.objects.defer("request", "answer", "terms")
    row = rows.filter(id=ident).first() if ident else None
    if row is None:
        raise NotFound("There is no such request. Check the id, or look for it under Requests.")
    return row


def _chat(row: Generation) -> ChatRequest:
    if row.kind == Generation.Kind.CHAT:
        return parse(ChatRequest, row.request)
    groups = frozenset((row.terms or {}).get("groups") or ())
    try:
        return chat_of(StoredRequest.model_validate(row.request), groups=groups).chat
    except AtriumError as error:
        raise ContentsGone(f"What came before this call is no longer kept: {error.message}") from error


def _prompt_of(row: Generation) -> list[str]:
    if row.prompt_version_id is None:
        return []
    version = PromptVersion.objects.filter(id=row.prompt_version_id).select_related("prompt").first()
    if version is None:
        return []
    said = f"the prompt {version.prompt.name}, version {version.number}, as the text that it made"
    return [f"{said} ({public_id(PROMPT_PREFIX, version.prompt_id)})"]


def _parameters(chat: ChatRequest) -> dict[str, Any]:
    """Those that the form has."""
    shape = chat.response_format or {}
    given = {
        "temperature": chat.temperature,
        "top_p": chat.top_p,
        "max_output_tokens": chat.output_limit,
        "reasoning_effort": chat.reasoning_effort,
        "format": shape.get("type"),
        "schema": (shape.get("json_schema") or {}).get("schema"),
    }
    return {name: value for name, value in given.items() if value is not None}


def _left_out(chat: ChatRequest) -> list[str]:
    parts = [part for message in chat.messages if isinstance(message.content, list) for part in message.content]
    found = ["images and files"] if any(part.get("type") != "text" for part in parts) else []
    functions = any(tool.get("type") == "function" for tool in chat.tools or ())
    return [*found, *(["functions and their results"] if functions else [])]
