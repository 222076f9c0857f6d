"""Batches by the SDK, against the running stack: called, paid for, and resumed after a kill, each line once."""

import json
import signal

import pytest

from .conftest import eventually

pytestmark = pytest.mark.e2e
CHAT = "/v1/chat/completions"


def started(sdk, bodies, endpoint=CHAT):
    """A batch of these bodies; `0` is the first line's id."""
    lines = [
        json.dumps({"custom_id": str(number), "method": "POST", "url": endpoint, "body": body})
        for number, body in enumerate(bodies)
    ]
    file = sdk.files.create(file=("calls.jsonl", "\n".join(lines).encode()), purpose="batch")
    return sdk.batches.create(input_file_id=file.id, endpoint=endpoint, completion_window="24h")


def ended(sdk, batch, *, seconds=40):
    def look():
        found = sdk.batches.retrieve(batch.id)
        return found if found.status in ("completed", "failed", "expired", "cancelled") else None

    return eventually(look, seconds=seconds)


def content(sdk, file_id):
    return [json.loads(line) for line in sdk.files.content(file_id).text.splitlines()]


def say(text):
    return {"model": "fake", "messages": [{"role": "user", "content": text}], "max_tokens": 20}


def test_a_batch_is_answered_and_paid_for_as_the_sdk_expects(atrium):
    tenant = atrium.new_tenant(budget="100")
    sdk = tenant.sdk()
    chats = started(sdk, [say("hello"), say("fault:refuses"), {**say("too much"), "max_tokens": 10_000}])
    told = started(sdk, [{"model": "fake", "input": "hello"}, {"model": "fake", "conversation": "c"}], "/v1/responses")
    vectors = started(sdk, [{"model": "all-MiniLM-L6-v2", "input": "a heron"}], "/v1/embeddings")
    done = ended(sdk, chats)
    assert (done.status, done.model, done.request_counts.model_dump()) == (
        "completed", "fake", {"total": 3, "completed": 1, "failed": 2},
    )  # fmt: skip
    assert (done.usage.input_tokens, done.usage.output_tokens, done.usage.total_tokens) == (7, 10, 17)
    [answered] = content(sdk, done.output_file_id)
    assert (answered["custom_id"], answered["response"]["status_code"]) == ("0", 200)
    assert answered["response"]["body"]["choices"][0]["message"]["content"].startswith("word0")
    refused = {line["custom_id"]: line["response"] for line in content(sdk, done.error_file_id)}
    assert {ident: (r["status_code"], r["body"]["error"]["param"]) for ident, r in refused.items()} == {
        "1": (400, "temperature"), "2": (400, "max_tokens"),
    }  # fmt: skip
    embedded = ended(sdk, vectors)
    [vector] = content(sdk, embedded.output_file_id)
    assert len(vector["response"]["body"]["data"][0]["embedding"]) == 384 and embedded.usage.input_tokens > 0
    assert [batch.id for batch in sdk.batches.list(limit=2)] == [vectors.id, told.id, chats.id]
    spoken = ended(sdk, told)
    [response] = content(sdk, spoken.output_file_id)
    body = response["response"]["body"]
    assert (body["object"], body["status"], spoken.usage.output_tokens) == ("response", "completed", 10)
    assert sdk.responses.retrieve(body["id"]).output_text.startswith("word0")
    [refused] = content(sdk, spoken.error_file_id)
    assert refused["response"]["body"]["error"]["param"] == "conversation"
    # A dollar for a thousand tokens of each kind.
    assert sorted(row[:2] for row in atrium.ledger(tenant) if row[0] != "embedding_tokens") == [
        ("input_tokens", 7), ("input_tokens", 7), ("output_tokens", 10), ("output_tokens", 10),
    ]  # fmt: skip
    atrium.settled(tenant)


@pytest.mark.crashes
def test_a_batch_goes_on_after_its_worker_was_killed_and_bills_each_line_once(atrium):
    tenant = atrium.new_tenant(budget="1000")
    sdk = tenant.sdk()
    batch = started(sdk, [say(f"fault:slow {number}" if number % 2 else f"line {number}") for number in range(40)])
    # Half of the lines have been answered; the other half is with the upstream.
    eventually(lambda: len(atrium.ledger(tenant)) == 40 and atrium.upstream.calls.get("fault:slow", 0) >= 20)
    worker = atrium.stack.processes["generation"]
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    atrium.upstream.release.set()
    atrium.stack.start("generation")
    done = ended(sdk, batch)
    assert done.request_counts.model_dump() == {"total": 40, "completed": 40, "failed": 0}
    lines = content(sdk, done.output_file_id)
    assert sorted(int(line["custom_id"]) for line in lines) == list(range(40))
    assert sorted(row[:2] for row in atrium.ledger(tenant)) == [("input_tokens", 7)] * 40 + [("output_tokens", 10)] * 40
    calls = "SELECT count(*), count(DISTINCT request_id) FROM billing_usagerecord WHERE tenant_id = %s"
    assert atrium.sql(calls, tenant.id) == [(80, 40)]
    atrium.settled(tenant)
    assert atrium.sql("SELECT spent, held FROM billing_budgetaccount WHERE tenant_id = %s", tenant.id) == [
        (sum(row[2] for row in atrium.ledger(tenant)), 0)
    ]
