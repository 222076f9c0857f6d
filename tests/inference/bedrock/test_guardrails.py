"""Verdicts of Bedrock Guardrails."""

from typing import Any

import pytest

from inference.providers.base import ProviderError
from inference.providers.bedrock import Account, apply_guardrail
from inference.providers.bedrock.guardrails import Finding
from tests.inference.bedrock.runtime import BedrockRuntime

FINE = {"action": "NONE", "outputs": [], "assessments": [{}], "usage": {"topicPolicyUnits": 1, "wordPolicyUnits": 0}}
MASKED = {
    "action": "GUARDRAIL_INTERVENED",
    "outputs": [{"text": "mail {EMAIL}"}],
    "assessments": [
        {"sensitiveInformationPolicy": {"piiEntities": [{"type": "EMAIL", "match": "a@b.c", "action": "ANONYMIZED"}]}}
    ],
    "usage": {"sensitiveInformationPolicyUnits": 1},
}  # fmt: skip
BLOCKED = {
    "action": "GUARDRAIL_INTERVENED",
    "outputs": [{"text": "Sorry, no."}],
    "assessments": [
        {
            "topicPolicy": {"topics": [{"name": "Bombs", "type": "DENY", "action": "BLOCKED"}]},
            "contentPolicy": {"filters": [{"type": "HATE", "confidence": "LOW", "action": "NONE"}]},
            "sensitiveInformationPolicy": {
                "piiEntities": [{"type": "EMAIL", "match": "a@b.c", "action": "ANONYMIZED"}]
            },
        }
    ],
    "usage": {},
}


async def test_each_text_has_a_verdict_of_its_own(runtime: BedrockRuntime, account: Account) -> None:
    answers = {"fine": FINE, "mail a@b.c": MASKED, "bombs": BLOCKED}

    def answer(body: dict[str, Any]) -> dict[str, Any]:
        return answers[body["content"][0]["text"]["text"]]

    runtime.answers["apply"] = answer
    fine, masked, blocked = await apply_guardrail(
        account, guardrail_id="gr1", version="2", source="OUTPUT", texts=["fine", "mail a@b.c", "bombs"]
    )
    assert (fine.intervened, fine.blocked, fine.text, fine.units) == (False, False, None, {"topicPolicyUnits": 1})
    assert (masked.intervened, masked.blocked, masked.text) == (True, False, "mail {EMAIL}")
    assert masked.findings == (Finding("sensitiveInformationPolicy", "EMAIL", "ANONYMIZED"),)
    assert (blocked.intervened, blocked.blocked, blocked.text) == (True, True, "Sorry, no.")
    assert Finding("topicPolicy", "Bombs", "BLOCKED") in blocked.findings
    assert {asked.path for asked in runtime.requests} == {"/guardrail/gr1/version/2/apply"}
    assert {asked.body["source"] for asked in runtime.requests} == {"OUTPUT"}


async def test_an_intervention_for_unknown_reasons_blocks(runtime: BedrockRuntime, account: Account) -> None:
    runtime.answers["apply"] = {"action": "GUARDRAIL_INTERVENED", "outputs": [], "assessments": []}
    [verdict] = await apply_guardrail(account, guardrail_id="g", version="DRAFT", source="INPUT", texts=["x"])
    assert verdict.blocked and verdict.text is None


async def test_a_guardrail_without_credentials_fails(runtime: BedrockRuntime) -> None:
    with pytest.raises(ProviderError) as failed:
        await apply_guardrail(
            Account("eu-central-1", runtime.url), guardrail_id="g", version="1", source="INPUT", texts=["x", "y"]
        )
    assert failed.value.code == "upstream_credentials"
    assert runtime.requests == []
