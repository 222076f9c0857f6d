"""A new tenant in one statement: the rows that the domain functions write for one, written again under new ids.

Making a tenant and a key as an operator does takes 40 statements, and most tests want a tenant or two. So a session
makes one with those functions, keeps its rows and takes it back; a test's tenants are copies of it.
"""

import re
import secrets
from copy import copy
from dataclasses import dataclass
from datetime import UTC, datetime

from django.apps import apps
from django.db import connection, transaction
from psycopg import sql

from tenants.api_keys import format_key, hash_secret, issue
from tenants.audit import COMMAND_LINE
from tenants.ids import uuid7
from tenants.managers import TenantModel
from tenants.models import ApiKey, Tenant
from tenants.permissions import KEY_SCOPES
from tenants.registry import create_tenant
from tenants.scope import acting_for, tenant_scope

SLUG = "recorded-tenant"
_WRITTEN = re.compile(r'(?<="created_at":")[^"]+')


@dataclass(frozen=True)
class Recording:
    """A tenant and a key that may do everything, with every row that came of them.

    `rows` is table → JSON, the tenant's first; `ids` are theirs in the order of their making; `moment` is when the last
    was written.
    """

    tenant: Tenant
    key: ApiKey
    rows: dict[str, str]
    ids: list[str]
    moment: datetime

    def play(self, slug: str) -> tuple[Tenant, str]:
        """Write it again as a tenant called `slug`; returns it and its key."""
        tenant, prefix, secret = copy(self.tenant), secrets.token_hex(4), secrets.token_hex(20)
        fresh = {old: str(uuid7()) for old in self.ids}
        tenant.id, tenant.slug, tenant.name = fresh[str(tenant.id)], slug, slug.title()
        tenant.clean_fields()  # makes a UUID of the id again
        fresh |= {SLUG: slug, SLUG.title(): tenant.name}
        fresh |= {self.key.secret_hash: hash_secret(secret), self.key.prefix: prefix}
        with acting_for(tenant.id), tenant_scope(), connection.cursor() as cursor:
            cursor.execute(self._statements(fresh).as_string(cursor.connection))
        return tenant, format_key(tenant.id, prefix, secret)

    def _statements(self, fresh: dict[str, str]) -> sql.Composable:
        since = datetime.now(UTC) - self.moment
        insert = sql.SQL("INSERT INTO {table} SELECT * FROM json_populate_recordset(NULL::{table}, {rows}::json)")
        statements = []
        for table, rows in self.rows.items():
            for old, new in fresh.items():
                rows = rows.replace(old, new)
            rows = _WRITTEN.sub(lambda found: (datetime.fromisoformat(found[0]) + since).isoformat(), rows)
            statements.append(insert.format(table=sql.Identifier(table), rows=sql.Literal(rows)))
        return sql.SQL(";").join(statements)


def record() -> Recording:
    """Make a tenant and its key, read what was written, and take all of it back."""
    with transaction.atomic():
        tenant = create_tenant(slug=SLUG, name=SLUG.title(), by=COMMAND_LINE)
        with acting_for(tenant.id), tenant_scope(), connection.cursor() as cursor:
            key, _ = issue(name="all", scopes=sorted(KEY_SCOPES), by=COMMAND_LINE)
            rows, ids = {}, []
            for model in (Tenant, *(model for model in apps.get_models() if issubclass(model, TenantModel))):
                table = model._meta.db_table
                cursor.execute(f"SELECT json_agg(t ORDER BY id)::text, array_agg(id::text) FROM {table} t")
                text, found = cursor.fetchone()
                if found:
                    rows[table] = text
                    ids += found
        transaction.set_rollback(True)
    written = [datetime.fromisoformat(moment) for text in rows.values() for moment in _WRITTEN.findall(text)]
    return Recording(tenant, key, rows, sorted(ids), max(written))
