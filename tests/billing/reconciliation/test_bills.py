"""Bills: imported whole or not at all, once, whatever they come in; compared by hand-made sums; corrected once."""

import gzip
import io
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.core.files.uploadedfile import SimpleUploadedFile
from django.urls import reverse
from rest_framework.test import APIClient

from billing.models import BillCorrection, ProviderBill, SkuMapping, UsageRecord
from billing.reconciliation import correcting
from tenants.api_keys import issue_platform_key
from tenants.models import User
from tenants.scope import acting_for, as_staff, tenant_scope
from tests.billing.reconciliation.provider_bill import (
    COLUMNS,
    INPUT,
    MODEL,
    OUTPUT,
    as_csv,
    as_parquet,
    metered,
    moment,
    row,
)
from tests.conftest import Member
from tests.tenants.admin_desk import desk, plain_static_files

__all__ = ["plain_static_files"]
BILLS, MAPPINGS = "/v1/platform/bills", "/v1/platform/sku_mappings"


@pytest.fixture
def operator(committed: Any) -> Iterator[APIClient]:
    """A platform key, and Claude's usage types mapped: both count thousands."""
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {issue_platform_key(name='finance')}")
    for pattern, meter in (("*-Claude-input-tokens", "input_tokens"), ("*-Claude-output-tokens", "output_tokens")):
        given = {"provider": "bedrock", "pattern": pattern, "model": MODEL, "meter": meter, "units": "1000"}
        assert client.post(MAPPINGS, given, format="json").status_code == 201
    yield client
    with as_staff():
        ProviderBill.objects.all().delete()
        SkuMapping.objects.all().delete()
        LogEntry.objects.using("owner").all().delete()


def send(client: APIClient, content: bytes, name: str = "bill.csv") -> Any:
    form = {"provider": "bedrock", "file": SimpleUploadedFile(name, content)}
    return client.post(BILLS, form, format="multipart")


def october(acme: Member, globex: Member) -> list[dict[str, Any]]:
    """The ledger of some days of October, and Bedrock's bill of them. Metered at 3 and 15 a million, billed at 3.30."""
    # The 5th: 1.5 million in; the bill takes 4.95 for what should cost 4.50.
    metered(acme, 5, "input_tokens", 900_000, "2.70")
    metered(acme, 5, "cached_input_tokens", 100_000, "0.30")  # which the provider bills as input
    metered(globex, 5, "input_tokens", 500_000, "1.50")
    metered(acme, 5, "output_tokens", 150_000, "2.25")
    metered(acme, 5, "reasoning_tokens", 50_000, "0.75")  # and this as output
    # The 6th: a call died; 10,000 tokens were billed beyond the ledger.
    metered(acme, 6, "input_tokens", 100_000, "0.33")
    metered(acme, 6, "unreconciled", 1, None, cost="0.50")
    # The 7th: a call died before the provider counted anything.
    metered(globex, 7, "input_tokens", 50_000, "0.165")
    metered(globex, 7, "unreconciled", 1, None, cost="0.20")
    # Over midnight, from the 8th to the 9th.
    metered(acme, 9, "input_tokens", 2_000, "0.0066", begun=moment(8, 23, 59))
    # The 10th: nobody knew what the provider takes.
    metered(globex, 10, "output_tokens", 1_000, None)
    # The 12th: the provider did not bill it.
    metered(globex, 12, "input_tokens", 7_000, "0.0231")
    return [
        row(5, INPUT, "1000", "3.3"), row(5, INPUT, "500", "1.65", hour=13), row(5, OUTPUT, "200", "3"),
        row(6, INPUT, "110", "0.363"), row(7, INPUT, "50", "0.165"), row(8, INPUT, "2", "0.0066"),
        row(10, OUTPUT, "1", "0.015"), row(11, INPUT, "5", "0.0165"),
        row(12, "BoxUsage:t3.micro", "24", "0.2496", ServiceName="Amazon Elastic Compute Cloud", ConsumedUnit="Hrs"),
        row(1, "", "", "1.23", ChargeCategory="Tax", ChargePeriodEnd="2026-11-01T00:00:00Z"),
        row(1, "", "", "-0.5", ChargeCategory="Credit"),
    ]  # fmt: skip


def differing(comparison: dict[str, Any]) -> list[tuple[int, str, int, int, list[str]]]:
    return [
        (int(d["day"][-2:]), d["meter"], d["billed_units"], d["metered_units"], d["reasons"])
        for d in comparison["differences"]
    ]


STAYS = [
    (6, "input_tokens", 110_000, 100_000, ["unreconciled"]),
    (8, "input_tokens", 2_000, 0, ["late"]),
    (9, "input_tokens", 0, 2_000, ["late"]),
    (11, "input_tokens", 5_000, 0, ["unmetered"]),
    (12, "input_tokens", 0, 7_000, ["unbilled"]),
]


def test_a_bill_is_compared_and_what_it_proves_is_posted_once(operator: APIClient, committed: Any) -> None:
    acme, globex = committed("acme"), committed("globex")
    rows = october(acme, globex)
    sent = send(operator, as_csv(rows))
    assert sent.status_code == 201, sent.content
    bill = sent.json()
    assert (bill["currency"], bill["first_day"], bill["last_day"]) == ("USD", "2026-10-05", "2026-10-12")
    assert (bill["rows"], bill["other_cost"], bill["state"]) == (11, "0.73", "imported")
    url = f"{BILLS}/{bill['id']}"
    found = operator.get(f"{url}/comparison").json()
    assert sorted(differing(found)) == sorted(
        [
            (5, "input_tokens", 1_500_000, 1_500_000, ["price"]),
            (6, "unreconciled", 0, 1, ["unreconciled"]),
            (7, "unreconciled", 0, 1, ["unreconciled"]),
            (10, "output_tokens", 1_000, 1_000, ["unpriced"]),
            *STAYS,
        ]
    )
    # 4.95 + 3 + 0.363 + 0.165 + 0.0066 + 0.015 + 0.0165, and what the lines above say.
    assert (found["billed_cost"], found["expected_cost"]) == ("8.5161", "8.0247")
    assert [(sku["sku"], sku["quantity"], sku["cost"]) for sku in found["unmapped"]] == [
        ("BoxUsage:t3.micro", "24", "0.2496")
    ]
    # To tenants: 0.04 for 10,000 tokens at 4 a million instead of 0.50, nothing instead of 0.20.
    # To the platform: 0.27, 0.03 and 0.15 of the 5th, 0.033 of the 6th, 0.015 of the 10th.
    assert found["plan"] == {"corrections": 6, "cost": "-0.66", "provider_cost": "0.498"}
    assert operator.post(f"{url}/approve").json()["state"] == "approved"
    assert operator.post(f"{url}/approve").json()["state"] == "approved"
    now = datetime.now(UTC)
    assert [correcting.post(now=now), correcting.post(now=now)] == [6, 0]
    assert operator.get(url).json()["state"] == "posted"
    assert posted(acme) == [
        (0, Decimal("-0.46"), Decimal("0.033")), (0, Decimal(0), Decimal("0.03")), (0, Decimal(0), Decimal("0.27")),
    ]  # fmt: skip
    assert posted(globex) == [
        (-1, Decimal("-0.20"), Decimal(0)), (0, Decimal(0), Decimal("0.015")), (0, Decimal(0), Decimal("0.15")),
    ]  # fmt: skip
    after = operator.get(f"{url}/comparison").json()
    assert sorted(differing(after)) == sorted(STAYS) and after["plan"]["corrections"] == 0
    # What is left: 0.0165 that nobody metered, less the 0.0231 that nobody billed.
    assert Decimal(after["billed_cost"]) - Decimal(after["expected_cost"]) == Decimal("0.0165") - Decimal("0.0231")
    assert operator.delete(url).json()["error"]["code"] == "bill_approved"
    listed = operator.get(f"{url}/corrections").json()["data"]
    assert len(listed) == 6 and all(one["posted_as"] and not one["refusal"] for one in listed)
    # The same bill in another file changes nothing either.
    again = send(operator, as_parquet(rows), "bill.parquet").json()
    assert again["id"] != bill["id"]
    other = operator.get(f"{BILLS}/{again['id']}/comparison").json()
    assert {**other, "bill": None} == {**after, "bill": None}


def posted(member: Member) -> list[tuple[int, Decimal, Decimal | None]]:
    with acting_for(member.tenant.id), tenant_scope():
        rows = UsageRecord.objects.filter(corrects__isnull=False)
        assert all(one.period_start == datetime.now(UTC).date().replace(day=1) for one in rows)
        return sorted(rows.values_list("quantity", "cost", "provider_cost"))


def test_what_was_corrected_meanwhile_is_refused_and_the_rest_is_posted(operator: APIClient, committed: Any) -> None:
    acme = committed("acme")
    metered(acme, 7, "unreconciled", 1, None, cost="0.20")
    metered(acme, 7, "input_tokens", 50_000, "0.10")
    bill = send(operator, as_csv([row(7, INPUT, "50", "0.165")])).json()
    assert operator.post(f"{BILLS}/{bill['id']}/approve").status_code == 200
    with acting_for(acme.tenant.id), tenant_scope():
        BillCorrection.objects.filter(quantity=-1).update(quantity=-2)  # as if one call had been two
    correcting.post(now=datetime.now(UTC))
    states = {
        one["quantity"]: (one["posted_as"] is not None, one["refusal"])
        for one in operator.get(f"{BILLS}/{bill['id']}/corrections").json()["data"]
    }
    assert states[0] == (True, None) and not states[-2][0] and "cannot be taken back" in states[-2][1]
    assert operator.get(f"{BILLS}/{bill['id']}").json()["state"] == "posted"


def test_a_bill_with_junk_rows_names_them_and_leaves_nothing(operator: APIClient) -> None:
    good = row(5, INPUT, "1", "0.1")
    junk = {
        "ConsumedQuantity 'lots' is no number": {"ConsumedQuantity": "lots"},
        "EffectiveCost 'NaN' is out of range": {"EffectiveCost": "NaN"},
        "BilledCost is empty": {"EffectiveCost": "", "BilledCost": ""},
        "ChargePeriodStart 'yesterday' is no time": {"ChargePeriodStart": "yesterday"},
        "ChargePeriodEnd is not after ChargePeriodStart": {"ChargePeriodEnd": "2026-10-05T00:00:00Z"},
        "it covers more than one day (UTC): export the bill by hours or days": {
            "ChargePeriodEnd": "2026-11-01T00:00:00Z"
        },
        "ChargeCategory 'Fun' is none of FOCUS's": {"ChargeCategory": "Fun"},
        "BillingCurrency EUR, where rows before have USD": {"BillingCurrency": "EUR"},
        "BillingCurrency '$' is no currency code": {"BillingCurrency": "$"},
        "none of x_UsageType, SkuId, SkuMeter, ChargeDescription says what it is for": {
            "x_UsageType": "", "SkuId": "", "ChargeDescription": "",
        },
    }  # fmt: skip
    content = as_csv([good, *({**good, **change} for change in junk.values())]) + b"too,short\r\n"
    refused = send(operator, content)
    error = refused.json()["error"]
    assert (refused.status_code, error["code"], error["param"]) == (400, "invalid_bill", "file")
    assert error["message"].startswith("11 of 12 rows make no sense, and nothing was imported: line 3: ")
    expected = [message.replace("BilledCost is", "EffectiveCost is") for message in junk]
    told = [(one["line"], one["message"]) for one in error["rows"]]
    assert told == list(enumerate([*expected, "it has fewer cells than the header"], start=3))
    for content, part in (
        (b"\n", "it lacks ChargePeriodStart"),
        (as_csv([]), "The bill has no usage"),
        (as_csv([good]).replace(b"ServiceName", b"Service"), "it lacks ServiceName"),
        (b"\x89PNG\r\n\x1a\n" + bytes(300), "cannot be read as CSV or Parquet"),
        (b"PAR1" + bytes(100), "cannot be read as CSV or Parquet"),
        (gzip.compress(as_csv([good]))[:-9], "cannot be read as CSV or Parquet"),
        (",".join(COLUMNS).encode() + b"\r\n" + b"x" * 2_000_000, "cannot be read as CSV or Parquet"),
    ):
        refused = send(operator, content)
        assert refused.status_code == 400 and part in refused.json()["error"]["message"], (part, refused.content)
    with as_staff():
        assert not ProviderBill.objects.exists()


def test_the_same_file_is_one_bill_and_columns_may_come_in_any_order(operator: APIClient) -> None:
    content = as_csv([row(5, INPUT, "1.5", "0.1")])
    first = send(operator, content)
    again = send(operator, content, "copy.csv")
    assert (first.status_code, again.status_code) == (201, 200) and first.json() == again.json()
    assert operator.get(BILLS).json()["data"] == [first.json()]
    header, _, rest = content.partition(b"\r\n")
    packed = send(operator, gzip.compress(header.lower() + b"\r\n" + rest))
    assert packed.status_code == 201, packed.content
    assert operator.delete(f"{BILLS}/{packed.json()['id']}").json()["deleted"]
    assert operator.get(f"{BILLS}/{packed.json()['id']}/comparison").status_code == 404
    assert operator.post(BILLS, {"provider": "bedrock"}, format="multipart").json()["error"]["param"] == "file"


def test_mappings_say_what_is_wrong_with_them(operator: APIClient) -> None:
    good = {"provider": "bedrock", "pattern": "*-Nova-input", "model": "nova", "meter": "input_tokens"}
    for change, code in (
        ({"meter": "wishes"}, 400),
        ({"pattern": "**"}, 400),
        ({"pattern": "*a" * 9}, 400),
        ({"units": "0"}, 400),
        ({"pattern": "*-Claude-input-tokens"}, 409),
    ):
        assert operator.post(MAPPINGS, {**good, **change}, format="json").status_code == code, change
    made = operator.post(MAPPINGS, good, format="json").json()
    assert made["units"] == "1" and len(operator.get(MAPPINGS).json()["data"]) == 3
    assert operator.delete(f"{MAPPINGS}/{made['id']}").json()["deleted"]
    assert operator.delete(f"{MAPPINGS}/{made['id']}").status_code == 404


def test_staff_import_compare_and_approve_at_the_admin(operator: APIClient, committed: Any) -> None:
    acme = committed("acme")
    metered(acme, 5, "input_tokens", 1_000, "0.003")
    client = desk(User.objects.create_superuser("boss", "boss@example.org", "x"))
    content = as_csv([row(5, INPUT, "1", "0.0133"), row(5, "USE1-Nova", "1", "7.77")])
    page = reverse("admin:billing_providerbill_add")
    bad = client.post(page, {"provider": "bedrock", "file": io.BytesIO(b"not a bill")}, follow=True)
    assert "This is no FOCUS file" in bad.content.decode()
    sent = SimpleUploadedFile("bill.csv", content)
    assert client.post(page, {"provider": "bedrock", "file": sent}).status_code == 302
    with as_staff():
        bill = ProviderBill.objects.get()
    shown = client.get(reverse("admin:billing_providerbill_change", args=[bill.pk])).content.decode()
    assert "another price than the one that was known" in shown and "USE1-Nova" in shown
    assert "Approving posts 1 corrections" in shown
    form = {"action": "approve", "_selected_action": str(bill.pk)}
    approved = client.post(reverse("admin:billing_providerbill_changelist"), form, follow=True)
    assert "posted in the background" in approved.content.decode()
    correcting.post(now=datetime.now(UTC))
    with as_staff():
        assert ProviderBill.objects.get().state == "posted"
    assert posted(acme) == [(0, Decimal(0), Decimal("0.0103"))]
    mapping = {"provider": "bedrock", "pattern": "*Nova", "model": "nova", "meter": "input_tokens", "units": "1000"}
    assert client.post(reverse("admin:billing_skumapping_add"), mapping).status_code == 302
