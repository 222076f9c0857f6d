"""The audit log at the desk: found by person, read before and after, taken along without a formula that runs."""

import csv
from io import StringIO

from tenants.audit import COMMAND_LINE, Actor, record
from tenants.models import AuditEvent, Membership, Tenant
from tenants.scope import acting_for, tenant_scope
from tests.tenants.admin_desk import desk, plain_static_files, seat

__all__ = ["plain_static_files"]


def exported(client, query=""):
    answer = client.get(f"/admin/tenants/auditevent/export/{query}")
    assert answer.status_code == 200 and "attachment" in answer["Content-Disposition"]
    return list(csv.reader(StringIO(answer.content.decode())))


def test_the_export_follows_the_filters_and_runs_no_formula(acme):
    owner = seat(acme, "owner")
    with acting_for(acme.tenant.id), tenant_scope():
        tenant = Tenant.objects.get()
        for start in ("=", "+", "-", "@", "\t", "\r"):
            record(
                by=Actor("user", str(owner.id)), action="tenant.renamed", target=tenant, changes={f"{start}cmd": "x"}
            )
    [head, *rows] = exported(desk(owner), "?action=tenant.renamed")
    assert head[:3] == ["time (UTC)", "who", "action"] and len(rows) == 6
    assert {row[1] for row in rows} == {"owner@acme.example"}
    assert all(row[5].startswith("'") for row in rows)
    everything = exported(desk(owner))
    assert {"api_key.issued", "member.added"} <= {row[2] for row in everything}


def test_a_persons_deeds_are_found_by_the_address(acme, globex):
    owner, other = seat(acme, "owner"), seat(globex, "owner")
    for member, user in ((acme, owner), (globex, other)):
        with acting_for(member.tenant.id), tenant_scope():
            record(by=Actor("user", str(user.id)), action="thing.done", target=Membership.objects.get())
    client = desk(owner)
    assert [row[2] for row in exported(client, "?q=Owner@acme.example")[1:]] == ["thing.done"]
    assert exported(client, "?q=owner@globex.example")[1:] == []


def test_a_row_says_what_stood_there_before_and_after(acme):
    with acting_for(acme.tenant.id), tenant_scope():
        changes = {"name": ["<b>old</b>", "new"], "scopes": ["one", "two", "three"], "limit": [None, "5"]}
        record(by=COMMAND_LINE, action="thing.changed", target=Tenant.objects.get(), changes=changes)
        row = AuditEvent.objects.latest("id")
    text = desk(seat(acme, "owner")).get(f"/admin/tenants/auditevent/{row.id}/change/").content.decode()
    assert "&lt;b&gt;old&lt;/b&gt;" in text and "<b>old</b>" not in text
    assert "Before" in text and "one, two, three" in text
