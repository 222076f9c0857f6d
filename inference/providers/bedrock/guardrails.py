"""Amazon Bedrock Guardrails on texts of any origin, by ApplyGuardrail."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from .account import Account, runtime
from .calls import in_thread
from .failures import translated

#: Which lists an assessment's policies keep what they found in, and what they call it.
_FOUND_IN = {
    "topicPolicy": (("topics", "name"),),
    "contentPolicy": (("filters", "type"),),
    "wordPolicy": (("customWords", "match"), ("managedWordLists", "type")),
    "sensitiveInformationPolicy": (("piiEntities", "type"), ("regexes", "name")),
    "contextualGroundingPolicy": (("filters", "type"),),
}


@dataclass(frozen=True)
class Finding:
    """What a policy of the guardrail found. `action`: `BLOCKED`, `ANONYMIZED` or `NONE`."""

    policy: str
    name: str
    action: str


@dataclass(frozen=True)
class GuardrailVerdict:
    """What a guardrail says of one text.

    Attributes:
        intervened: the text must not go on as it is.
        blocked: nothing of it may go on; without that, `text` is what may, with its parts masked.
        text: what the guardrail puts in its place: the masked text, or its message; None where it did not intervene.
        units: text units that AWS charges, by policy.
    """

    intervened: bool
    blocked: bool
    text: str | None
    findings: tuple[Finding, ...]
    units: dict[str, int]


async def apply_guardrail(
    account: Account, *, guardrail_id: str, version: str, source: Literal["INPUT", "OUTPUT"], texts: Sequence[str]
) -> list[GuardrailVerdict]:
    """A verdict for each of `texts`, in their order; each is asked for by itself, all at once.

    Raises:
        ProviderError: it failed.
    """

    def ask(text: str) -> GuardrailVerdict:
        with translated():
            return _verdict(
                runtime(account).apply_guardrail(
                    guardrailIdentifier=guardrail_id,
                    guardrailVersion=version,
                    source=source,
                    content=[{"text": {"text": text}}],
                )
            )

    tasks = [asyncio.create_task(in_thread(partial(ask, text))) for text in texts]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()


def _verdict(answer: dict[str, Any]) -> GuardrailVerdict:
    findings = tuple(finding for one in answer.get("assessments") or () for finding in _findings(one))
    actions = {finding.action for finding in findings}
    intervened = answer.get("action") == "GUARDRAIL_INTERVENED"
    outputs = [str(output.get("text") or "") for output in answer.get("outputs") or ()]
    return GuardrailVerdict(
        intervened=intervened,
        # One that intervened for a reason that is not known here has blocked.
        blocked=intervened and ("BLOCKED" in actions or "ANONYMIZED" not in actions),
        text="\n".join(outputs) if intervened and outputs else None,
        findings=findings,
        units={name: int(count) for name, count in (answer.get("usage") or {}).items() if count},
    )


def _findings(assessment: dict[str, Any]) -> Iterator[Finding]:
    for policy, lists in _FOUND_IN.items():
        for name, label in lists:
            for found in (assessment.get(policy) or {}).get(name) or ():
                yield Finding(policy, str(found.get(label) or ""), str(found.get("action") or "NONE"))
