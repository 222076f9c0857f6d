"""What somebody new does first, and what of it is done."""

from collections.abc import Callable
from dataclasses import dataclass

from django.urls import reverse

from inference.models import Generation
from knowledge.models import File
from tenants.desk.visitor import Visitor
from tenants.models import ApiKey


@dataclass(frozen=True)
class Step:
    """One thing to do, where, and whether it is done."""

    title: str
    text: str
    action: str
    url: str
    done: bool


@dataclass(frozen=True)
class _Planned:
    asks: str
    title: str
    text: str
    action: str
    page: str
    is_done: Callable[[], bool]


_STEPS = (
    _Planned(
        "documents.change",
        "Upload documents",
        "Make a vector store and put files into it. Answers then cite the pages they come from.",
        "New vector store",
        "admin:knowledge_vectorstore_add",
        lambda: File.objects.exists(),
    ),
    _Planned(
        "keys.change",
        "Make an API key",
        "Your applications sign their calls with it. It is shown once, with examples to copy.",
        "New API key",
        "admin:tenants_apikey_add",
        lambda: ApiKey.objects.filter(revoked_at=None).exists(),
    ),
    _Planned(
        "playground.view",
        "Make the first call",
        "Ask something here, or send a request from your own code with the key.",
        "Open the playground",
        "admin:playground",
        lambda: Generation.objects.exists(),
    ),
)


def steps_for(visitor: Visitor) -> list[Step]:
    """The steps that the visitor may take; none once all of them are done."""
    steps = [
        Step(one.title, one.text, one.action, reverse(one.page), one.is_done())
        for one in _STEPS
        if visitor.may(one.asks)
    ]
    return [] if all(step.done for step in steps) else steps
