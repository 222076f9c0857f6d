"""Batches: each line is called once and billed once, whatever dies in between; what became of it stands in the files."""

import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import orjson
import pytest

from billing.budgets.setting import set_budget
from billing.models import Reservation, UsageRecord
from billing.reservations import UsageLine
from inference import generations, lost_calls
from inference.batches import driving, feeding
from inference.calls import Call, Outcome, Settlement
from inference.catalogue import forget_terms
from inference.models import BatchLine, Generation
from tenants import work
from tenants.api_keys import issue, revoke
from tenants.audit import COMMAND_LINE
from tenants.ids import parse_public_id
from tenants.models import Work
from tenants.scope import acting_for, tenant_scope
from tests.conftest import Member
from tests.webhooks import listen, told

CHAT = "/v1/chat/completions"
USED = [UsageLine("local-extractive", "input_tokens", 100), UsageLine("local-extractive", "output_tokens", 50)]
#: At 0.10 and 0.40 USD a million.
COST = Decimal("0.00003")
ANSWER = {"object": "chat.completion", "usage": {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}}


@pytest.fixture(autouse=True)
def _alone(settings: Any, tmp_path: Path) -> None:
    options = {**settings.STORAGES["default"], "OPTIONS": {"location": tmp_path / "files"}}
    settings.STORAGES = {**settings.STORAGES, "default": options}
    forget_terms()


def chat(text: str = "hello", **more: Any) -> dict[str, Any]:
    return {"model": "local-extractive", "messages": [{"role": "user", "content": text}], "max_tokens": 100, **more}


class Bench:
    """A tenant with a batch, its driver and its workers, played one step at a time."""

    def __init__(self, member: Member) -> None:
        self.member = member

    def start(self, bodies: list[Any], *, client: Any = None, **more: Any) -> str:
        """A batch of these bodies, `line-1` the first."""
        lines = [
            {"custom_id": f"line-{n}", "method": "POST", "url": more.get("endpoint", CHAT), "body": body}
            for n, body in enumerate(bodies, 1)
        ]
        return self.start_file("".join(json.dumps(line) + "\n" for line in lines), client=client, **more)

    def start_file(self, text: str, *, client: Any = None, **more: Any) -> str:
        client = client or self.member.client
        wanted = {"input_file_id": self.upload(text), "endpoint": CHAT, "completion_window": "24h", **more}
        answer = client.post("/v1/batches", wanted, format="json")
        assert answer.status_code == 200, answer.content
        self.ident: str = answer.json()["id"]
        self.now = datetime.now(UTC)
        return self.ident

    def upload(self, text: str, purpose: str = "batch") -> str:
        sent = io.BytesIO(text.encode())
        sent.name = "calls.jsonl"
        answer = self.member.client.post("/v1/files", {"file": sent, "purpose": purpose}, format="multipart")
        return answer.json()["id"]

    def get(self) -> dict[str, Any]:
        return self.member.client.get(f"/v1/batches/{self.ident}").json()

    def drive(self, *, after: float = 0) -> dict[str, Any]:
        """The next step of the driver, `after` seconds later; none where the batch has ended."""
        self.now += timedelta(seconds=after)
        with self.scope(), tenant_scope():
            work.hasten(self.member.tenant.id, self.uuid)
        claim = driving.claim_next(worker="driver")
        if claim is not None:
            with self.scope():
                driving.drive(claim, worker="driver", now=self.now)
        return self.get()

    def claim(self, most: int = 100) -> list[Call]:
        parameters = generations.claim_parameters(worker="w", most=most, queue=work.BATCH_LINES)
        return [generations.claimed(row) for row in generations._rows(generations.CLAIM, parameters)]

    def answer(self, call: Call, outcome: Outcome | None = None) -> Decimal | None:
        done = outcome or Outcome("completed", lines=list(USED), answer=ANSWER)
        ticket = work.Claim(call.tenant_id, call.id, call.attempt)
        return generations.settle(Settlement(ticket, call.key_id, done, call.admitted.retention_days))

    def file(self, name: str) -> list[dict[str, Any]]:
        ident = self.get()[f"{name}_file_id"]
        content = self.member.client.get(f"/v1/files/{ident}/content").getvalue()
        return [orjson.loads(line) for line in content.splitlines()]

    def lines(self, state: str) -> int:
        with self.scope(), tenant_scope():
            return BatchLine.objects.filter(state=state).count()

    def ledger(self) -> Decimal:
        with self.scope(), tenant_scope():
            assert Reservation.objects.filter(state="open").count() == self.lines("queued")
            return sum(UsageRecord.objects.values_list("cost", flat=True), Decimal(0))

    def scope(self) -> Any:
        return acting_for(self.member.tenant.id)

    @property
    def uuid(self) -> UUID:
        found = parse_public_id("batch_", self.ident)
        assert found is not None
        return found


@pytest.fixture
def bench(acme: Member) -> Bench:
    return Bench(acme)


def test_lines_are_answered_and_stand_in_the_output(bench: Bench) -> None:
    listen(bench.member)
    bench.start([chat("one"), chat("two"), {"model": "local-extractive", "messages": []}], metadata={"job": "7"})
    assert bench.get()["status"] == "validating"
    running = bench.drive()
    assert running["status"] == "in_progress" and running["model"] == "local-extractive"
    assert running["request_counts"] == {"total": 3, "completed": 0, "failed": 1}
    calls = bench.claim()
    assert [json.loads(call.request)["messages"][0]["content"] for call in calls] == ["one", "two"]
    assert all(call.inbox == "" and call.admitted.levels == [] for call in calls)
    assert [bench.answer(call) for call in calls] == [COST, COST]
    done = bench.drive(after=2)
    assert (done["status"], done["metadata"], done["errors"]) == ("completed", {"job": "7"}, None)
    assert done["request_counts"] == {"total": 3, "completed": 2, "failed": 1}
    assert done["usage"] == {
        "input_tokens": 200, "input_tokens_details": {"cached_tokens": 0}, "output_tokens": 100,
        "output_tokens_details": {"reasoning_tokens": 0}, "total_tokens": 300,
    }  # fmt: skip
    times = [done[name] for name in ("created_at", "in_progress_at", "finalizing_at", "completed_at")]
    assert times == sorted(times) and done["expires_at"] - done["created_at"] in (86399, 86400, 86401)
    output = bench.file("output")
    assert [(line["custom_id"], line["response"]["status_code"], line["error"]) for line in output] == [
        ("line-1", 200, None), ("line-2", 200, None),
    ]  # fmt: skip
    assert output[0]["response"]["body"] == ANSWER and output[0]["id"].startswith("batch_req_")
    [bad] = bench.file("error")
    assert (bad["custom_id"], bad["response"]["status_code"]) == ("line-3", 400)
    assert bad["response"]["body"]["error"]["param"] == "messages"
    assert bench.ledger() == 2 * COST
    names = {file["purpose"] for file in bench.member.client.get("/v1/files").json()["data"]}
    assert names == {"batch", "batch_output"}
    assert told(bench.member) == [("batch.completed", {"id": bench.ident})]


def test_a_file_that_is_no_batch_fails_with_the_lines_at_fault(bench: Bench) -> None:
    good = json.dumps({"custom_id": "a", "method": "POST", "url": CHAT, "body": chat()})
    bench.start_file(f"{good}\n{{\n{good}\n")
    failed = bench.drive()
    assert failed["status"] == "failed" and failed["failed_at"]
    assert [(error["line"], error["code"]) for error in failed["errors"]["data"]] == [
        (2, "invalid_json_line"), (3, "duplicate_custom_id"),
    ]  # fmt: skip
    assert failed["output_file_id"] is None and bench.claim() == []


@pytest.mark.parametrize(
    ("change", "status", "param"),
    [
        ({"endpoint": "/v1/images"}, 400, "endpoint"),
        ({"completion_window": "1h"}, 400, "completion_window"),
        ({"input_file_id": "file-" + "0" * 32}, 404, "id"),
        ({"metadata": {"a": 1}}, 400, "metadata.a"),
        ({"output_expires_after": {"anchor": "created_at", "seconds": 5}}, 400, "output_expires_after.seconds"),
    ],
)
def test_a_request_that_makes_no_sense_is_refused(
    bench: Bench, change: dict[str, Any], status: int, param: str
) -> None:
    wanted = {"input_file_id": bench.upload("{}"), "endpoint": CHAT, "completion_window": "24h", **change}
    answer = bench.member.client.post("/v1/batches", wanted, format="json")
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, param)


def test_a_file_of_another_purpose_is_refused(bench: Bench) -> None:
    wanted = {"input_file_id": bench.upload("{}", "user_data"), "endpoint": CHAT, "completion_window": "24h"}
    answer = bench.member.client.post("/v1/batches", wanted, format="json")
    assert answer.status_code == 400 and "purpose" in answer.json()["error"]["message"]


def test_a_window_of_lines_is_under_way_and_no_line_twice(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "WINDOW", 4)
    monkeypatch.setattr(driving, "MOST_WINDOW", 4)
    bench.start([chat(str(n)) for n in range(11)])
    seen = []
    for _ in range(6):
        bench.drive(after=2)
        assert bench.lines("queued") <= 4
        calls = bench.claim(3)
        seen += [json.loads(call.request)["messages"][0]["content"] for call in calls]
        for call in calls:
            bench.answer(call)
    assert bench.drive(after=2)["status"] == "completed"
    assert sorted(seen, key=int) == [str(n) for n in range(11)]
    assert [line["custom_id"] for line in bench.file("output")] == [f"line-{n}" for n in range(1, 12)]
    assert bench.ledger() == 11 * COST


def test_a_driver_that_dies_anywhere_repeats_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def dies(*_: Any, **__: Any) -> Any:
        raise RuntimeError("the driver died")

    bench.start([chat("one"), chat("two")])
    with monkeypatch.context() as patch:
        patch.setattr(feeding, "admit_all", dies)
        bench.drive()
    assert (bench.lines("waiting"), bench.lines("queued")) == (2, 0)
    bench.drive(after=10)
    bench.drive(after=10)
    calls = bench.claim()
    assert len(calls) == 2
    for call in calls:
        bench.answer(call)
        assert bench.answer(call) is None
    with monkeypatch.context() as patch:
        patch.setattr(driving, "save_results", dies)
        assert bench.drive(after=10)["status"] == "finalizing"
    assert bench.drive(after=10)["status"] == "completed"
    assert len(bench.file("output")) == 2 and bench.ledger() == 2 * COST
    with bench.scope(), tenant_scope():
        assert Generation.objects.count() == 2 and not Work.objects.exists() and not BatchLine.objects.exists()


def test_a_driver_that_breaks_again_and_again_ends_its_batch(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def breaks(*_: Any, **__: Any) -> Any:
        raise RuntimeError("poison")

    monkeypatch.setattr(driving, "validate", breaks)
    bench.start([chat()])
    states = [bench.drive(after=300)["status"] for _ in range(driving.MAX_FAILURES)]
    assert states == ["validating"] * (driving.MAX_FAILURES - 1) + ["failed"]
    assert bench.get()["errors"]["data"][0]["code"] == "server_error" and driving.claim_next(worker="d") is None


def test_a_line_whose_worker_died_runs_again_and_is_billed_once(bench: Bench) -> None:
    bench.start([chat()])
    bench.drive()
    for attempt in (1, 2):
        [call] = bench.claim()
        assert call.attempt == attempt
        with bench.scope(), tenant_scope():
            Work.objects.filter(id=call.id).update(lease_until=bench.now - timedelta(days=1))
        assert lost_calls.recover_lines(most_attempts=3) == 1
        assert bench.answer(call) is None
    [call] = bench.claim()
    assert bench.answer(call) == COST
    assert bench.drive(after=2)["request_counts"]["completed"] == 1 and bench.ledger() == COST


def test_a_line_that_kills_its_workers_fails_with_the_reason(bench: Bench) -> None:
    bench.start([chat()])
    bench.drive()
    [call] = bench.claim()
    with bench.scope(), tenant_scope():
        Work.objects.filter(id=call.id).update(lease_until=bench.now - timedelta(days=1))
    assert lost_calls.recover_lines(most_attempts=1) == 0
    assert bench.drive(after=2)["status"] == "completed"
    [line] = bench.file("error")
    assert (line["response"]["status_code"], line["response"]["body"]["error"]["code"]) == (502, "worker_lost")


def test_a_failure_that_may_pass_is_tried_again_later_and_another_not(bench: Bench) -> None:
    def failure(kind: str, code: str) -> Outcome:
        return Outcome("failed", error={"error": {"message": "m", "type": kind, "param": None, "code": code}})

    bench.start([chat("passes"), chat("stays"), chat("is wrong")])
    bench.drive()
    passes, stays, wrong = bench.claim()
    bench.answer(passes, failure("server_error", "upstream_unavailable"))
    bench.answer(stays, failure("server_error", "upstream_unavailable"))
    bench.answer(wrong, failure("invalid_request_error", "upstream_refused"))
    # Not before its time has come.
    assert bench.drive(after=1)["status"] == "in_progress" and bench.claim() == []
    for n in range(3):
        bench.drive(after=60 * 3**n)
        for call in bench.claim():
            good = json.loads(call.request)["messages"][0]["content"] == "passes"
            bench.answer(call, None if good else failure("server_error", "upstream_unavailable"))
    assert bench.drive(after=2)["request_counts"] == {"total": 3, "completed": 1, "failed": 2}
    found = {line["custom_id"]: line["response"]["status_code"] for line in bench.file("error")}
    assert found == {"line-2": 502, "line-3": 400} and bench.ledger() == COST


def test_a_spent_budget_fails_lines_and_a_held_one_makes_them_wait(bench: Bench) -> None:
    # The hold of a line: its bytes at 0.10, and 100 tokens at 0.40 a million; the budget pays for two, not for three.
    with bench.scope():
        set_budget(name="monthly", limit=Decimal("0.0001"), by=COMMAND_LINE)
    bench.start([chat(str(n)) for n in range(5)])
    bench.drive()
    assert (bench.lines("queued"), bench.lines("waiting")) == (2, 3)
    for _ in range(3):
        for call in bench.claim():
            bench.answer(call)
        bench.drive(after=3)
    done = bench.get()
    # Each answer costs 0.00003; after the second what is left no longer pays for one.
    assert (done["status"], done["request_counts"]) == ("completed", {"total": 5, "completed": 2, "failed": 3})
    errors = [line["response"] for line in bench.file("error")]
    assert {(error["status_code"], error["body"]["error"]["code"]) for error in errors} == {(429, "insufficient_quota")}
    assert bench.ledger() == 2 * COST


def test_a_cancelled_batch_writes_what_is_done_and_calls_nothing_more(bench: Bench) -> None:
    bench.start([chat(str(n)) for n in range(4)])
    bench.drive()
    done, running = bench.claim(2)
    bench.answer(done)
    cancelled = bench.member.client.post(f"/v1/batches/{bench.ident}/cancel").json()
    assert cancelled["status"] == "cancelling" and cancelled["cancelling_at"]
    assert bench.drive(after=1)["status"] == "cancelling" and bench.claim() == []
    bench.answer(running)
    ended = bench.drive(after=2)
    assert (ended["status"], ended["request_counts"]) == ("cancelled", {"total": 4, "completed": 2, "failed": 2})
    assert [line["custom_id"] for line in bench.file("output")] == ["line-1", "line-2"]
    errors = bench.file("error")
    assert [(line["response"], line["error"]["code"]) for line in errors] == [(None, "batch_cancelled")] * 2
    assert bench.ledger() == 2 * COST
    again = bench.member.client.post(f"/v1/batches/{bench.ident}/cancel")
    assert again.json()["status"] == "cancelled"


def test_a_batch_that_is_late_expires_with_what_it_has(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "WINDOW", 2)
    monkeypatch.setattr(driving, "MOST_WINDOW", 2)
    bench.start([chat(str(n)) for n in range(4)])
    bench.drive()
    [first] = bench.claim(1)
    bench.answer(first)
    ended = bench.drive(after=25 * 3600)
    assert ended["status"] == "expired" and ended["request_counts"] == {"total": 4, "completed": 1, "failed": 3}
    assert {line["error"]["code"] for line in bench.file("error")} == {"batch_expired"}
    assert sorted(line["custom_id"] for line in bench.file("error")) == ["line-2", "line-3", "line-4"]


def test_lines_of_a_revoked_key_fail_and_say_so(bench: Bench) -> None:
    with bench.scope():
        key, secret = issue(name="batch", scopes=["inference", "files.read"], by=COMMAND_LINE)
    bench.start([chat()], client=Member(bench.member.tenant, secret).client)
    with bench.scope():
        revoke(key_id=key.id, by=COMMAND_LINE, now=bench.now)
    assert bench.drive()["status"] == "completed"
    [line] = bench.file("error")
    assert (line["response"]["status_code"], line["response"]["body"]["error"]["code"]) == (401, "invalid_api_key")


def test_a_deleted_input_file_ends_the_batch_with_what_it_has(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driving, "WINDOW", 1)
    monkeypatch.setattr(driving, "MOST_WINDOW", 1)
    bench.start([chat("one"), chat("two")])
    bench.drive()
    bench.member.client.delete(f"/v1/files/{bench.get()['input_file_id']}")
    bench.answer(bench.claim()[0])
    ended = bench.drive(after=2)
    assert (ended["status"], ended["errors"]["data"][0]["code"]) == ("failed", "input_file_deleted")
    assert len(bench.file("output")) == 1


def test_a_key_with_groups_makes_batches_that_only_its_groups_see(bench: Bench) -> None:
    def client(*groups: str) -> Any:
        scopes = ["inference", "files.read"]
        with bench.scope():
            return Member(bench.member.tenant, issue(name="g", scopes=scopes, groups=groups, by=COMMAND_LINE)[1]).client

    bench.start([chat()], client=client("staff"))
    bench.drive()
    [call] = bench.claim()
    assert call.admitted.groups == {"staff"}
    bench.answer(call)
    output = bench.drive(after=2)["output_file_id"]

    def seen(by: Any) -> tuple[int, int, int, int]:
        batches, files = by.get("/v1/batches").json()["data"], by.get("/v1/files").json()["data"]
        one, content = by.get(f"/v1/batches/{bench.ident}"), by.get(f"/v1/files/{output}/content")
        content.getvalue()
        return len(batches), one.status_code, content.status_code, sum(file["id"] == output for file in files)

    assert seen(client("staff", "more")) == seen(bench.member.client) == (1, 200, 200, 1)
    assert seen(client("others")) == (0, 404, 404, 0)


def test_batches_are_paged_as_the_sdk_asks(bench: Bench) -> None:
    idents = [bench.start([chat()]) for _ in range(3)]
    first = bench.member.client.get("/v1/batches", {"limit": 2}).json()
    assert [batch["id"] for batch in first["data"]] == idents[:0:-1] and first["has_more"]
    rest = bench.member.client.get("/v1/batches", {"limit": 2, "after": first["last_id"]}).json()
    assert [batch["id"] for batch in rest["data"]] == idents[:1] and not rest["has_more"]
