"""Promise 3: with the managers' filter out of the way, the database alone keeps two tenants apart.

Random statements as the app role, by raw SQL and by Django's base managers, each in a scope of one tenant and as a rule
about the other's rows. What reads or returns rows must return own ones only; what aims at foreign rows is committed, and
in the end each tenant's rows are what they were.
"""

import random
from collections import Counter
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

from django.db import DatabaseError, connection, transaction

from tenants.ids import uuid7
from tenants.models import Tenant
from tenants.scope import acting_for, tenant_scope
from tests.e2e.conftest import eventually
from tests.prove.furniture import BY_THE_CLOCK, TENANT_MODELS, Furnished, fingerprint, furnish, row_of
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict, scaled

#: Statements over table {t} with key column {k}: own tenant %(own)s, the other %(other)s, one of its rows %(row)s.
READS = (
    "SELECT DISTINCT {k} FROM {t}",
    "SELECT {k} FROM {t} WHERE {k} = %(other)s",
    "SELECT {k} FROM {t} WHERE id = %(row)s",
    "SELECT {k} FROM {t} WHERE {k} <> %(own)s FOR UPDATE",
    "SELECT b.{k} FROM {t} a RIGHT JOIN {t} b ON a.id <> b.id LIMIT 50",
    "SELECT {k} FROM {t} ORDER BY random() LIMIT 20",
    "WITH x AS MATERIALIZED (SELECT * FROM {t}) SELECT {k} FROM x WHERE id = %(row)s",
    "SELECT {k} FROM {t} x WHERE x::text LIKE '%%' || %(other)s::text || '%%'",
)
#: Undone after each: they change own rows too, or would if they could.
WRITES = (
    "UPDATE {t} SET id = id RETURNING {k}",
    "UPDATE {t} SET {k} = %(other)s RETURNING {k}",
    "DELETE FROM {t} RETURNING {k}",
    "INSERT INTO {t} ({c}) SELECT {c} FROM (SELECT (jsonb_populate_record(NULL::{t}, to_jsonb(x) || jsonb_build_object("
    "'{k}', %(other)s::uuid, 'id', %(fresh)s::uuid))).* FROM {t} x LIMIT 1) y RETURNING {k}",
)
#: Committed: about foreign rows only.
AIMED = (
    "UPDATE {t} SET id = %(fresh)s WHERE id = %(row)s RETURNING {k}",
    "UPDATE {t} SET {k} = %(own)s WHERE {k} = %(other)s RETURNING {k}",
    "DELETE FROM {t} WHERE id = %(row)s RETURNING {k}",
    "DELETE FROM {t} WHERE {k} = %(other)s RETURNING {k}",
    "INSERT INTO {t} ({c}) SELECT {c} FROM {t} WHERE {k} = %(other)s RETURNING {k}",
)
#: Atrium's own functions with the other tenant as argument; each must refuse, or do and say nothing. Committed.
FUNCTIONS = (
    "SELECT settle_spend(%(other)s, %(billing_reservation)s, 'released', '[]')",
    "SELECT withdraw_generation(%(other)s, %(inference_generation)s)",
    "SELECT cost FROM settle_generations(jsonb_build_array(jsonb_build_object('n', 0, 'tenant', %(other)s::uuid, 'id', "
    "%(inference_generation)s::uuid, 'attempt', 1, 'state', 'failed', 'reservation_state', 'released', 'attempts', '[]', "
    "'lines', '[]', 'retention_days', 0)))",
    "SELECT finish_work(%(other)s, %(inference_generation)s, 1) OR NULL",
    "SELECT nullif(enqueue_work(%(other)s, %(fresh)s, 'ingestion')::text, '')",
    "SELECT reserve_spend(%(other)s, %(fresh)s, %(fresh)s, NULL, 'x', '', 0, 1, 'USD', '[]', '1 minute')",
    "SELECT accounts_above(%(other)s, NULL, '{}', clock_timestamp())",
    "SELECT reserve_child(%(other)s, %(fresh)s, %(billing_reservation)s, 'x', 0, 1, '[]', '1 minute')",
    "SELECT charge_spend(%(other)s, %(fresh)s, NULL, 'x', '', '{}', 'USD', '[]', '[]', clock_timestamp())",
    "SELECT nullif(add_spent(%(other)s, NULL, '{}', clock_timestamp(), 1)::text, '')",
    "SELECT lock_counts(%(other)s, '2026-01-01')",
    "SELECT nullif(book_variance(%(other)s, 'x', 'USD', 1, clock_timestamp())::text, '')",
    "SELECT nullif(keep_response(%(other)s, %(inference_grant)s, 'k', '{}', 1, '1 minute', 10, 10)::text, '')",
    "SELECT nullif(remove_chunks(%(other)s, %(knowledge_vectorstore)s, %(knowledge_vectorstorefile)s)::text, '')",
    "SELECT nullif(purge_store(%(other)s, %(knowledge_vectorstore)s, 10)::text, 'true')",
)

#: Permission denied (row security too), and a function's own refusals; any violated constraint besides.
REFUSALS = ("42501", "P0001", "AT410")


def prove(ground: Ground) -> Verdict:
    """Seeded, and the seed is told, so that a run can be repeated."""
    seed, count = random.SystemRandom().getrandbits(32), scaled(10_000)
    walk = _Walk(ground, random.Random(seed))
    for _ in range(count):
        walk.step()
    changed = [
        f"{one.mark}'s rows in {table} were changed"
        for one in walk.pair
        for table, digest in fingerprint(ground, one).items()
        if table not in BY_THE_CLOCK and digest != walk.before[one.id][table]
    ]
    if not walk.seen["own rows returned"] or not walk.seen["refused by the database"]:
        changed.append(f"the operations show nothing: {walk.seen}")
    told = ", ".join(f"{number} {what}" for what, number in sorted(walk.seen.items()))
    return Verdict(
        f"{count} operations over {len(walk.models)} tables (seed {seed}): {told}", [*walk.violations, *changed]
    )


class _Walk:
    """Two tenants, and what was seen of them."""

    def __init__(self, ground: Ground, rng: random.Random) -> None:
        self.ground = ground
        self.rng = rng
        self.pair = [furnish(ground, f"{name}{uuid4().hex[:8]}") for name in ("acme", "globex")]
        self.models = [*TENANT_MODELS, Tenant]
        eventually(lambda: not self._empty_tables() & BY_THE_CLOCK, seconds=60)
        self.rows = {
            (one.id, model._meta.db_table): row_of(ground, model, one) or uuid7()
            for one in self.pair
            for model in self.models
        }
        self.before = {one.id: fingerprint(ground, one) for one in self.pair}
        self.seen: Counter[str] = Counter()
        self.violations = [f"{table} has no row to be reached" for table in self._empty_tables()]

    def _empty_tables(self) -> set[str]:
        """Where a tenant has none, so that the operations would show nothing."""
        found = {model._meta.db_table: [row_of(self.ground, model, one) for one in self.pair] for model in self.models}
        return {table for table, rows in found.items() if None in rows}

    def step(self) -> None:
        """One operation."""
        own, other = self.rng.sample(self.pair, 2)
        model = self.rng.choice(self.models)
        kind = self.rng.choice((self._raw, self._raw, self._raw, self._managed, self._called))
        with acting_for(own.id):
            kind(model, own, other)

    def _raw(self, model: Any, own: Furnished, other: Furnished) -> None:
        statements = self.rng.choice((READS, WRITES, AIMED))
        statement, key = self.rng.choice(statements), "id" if model is Tenant else "tenant_id"
        columns = ", ".join(f'"{field.column}"' for field in model._meta.local_concrete_fields if not field.generated)
        text = statement.format(t=model._meta.db_table, k=key, c=columns)
        self._expect_own(text, own, lambda: _run(text, self._values(model, own, other)), undo=statements is WRITES)

    def _managed(self, model: Any, own: Furnished, other: Furnished) -> None:
        key = "id" if model is Tenant else "tenant_id"
        rows, row = model._base_manager.using("default"), self.rows[other.id, model._meta.db_table]
        name, undo, work = self.rng.choice(
            (
                ("all", False, lambda: list(rows.values_list(key)[:200])),
                ("get", False, lambda: list(rows.filter(pk=row).values_list(key))),
                ("exclude", False, lambda: list(rows.exclude(**{key: own.id}).values_list(key))),
                ("update", False, lambda: [(other.id,)] * rows.filter(pk=row).update(id=uuid7())),
                ("delete", False, lambda: [(other.id,)] * rows.filter(pk=row)._raw_delete("default")),
                ("take over", False, lambda: [(other.id,)] * rows.filter(**{key: other.id}).update(**{key: own.id})),
                ("give away", True, lambda: [(other.id,)] * rows.all().update(**{key: other.id})),
            )
        )
        self._expect_own(f"{model.__name__}._base_manager {name}", own, work, undo=undo)

    def _called(self, model: Any, own: Furnished, other: Furnished) -> None:
        text = self.rng.choice(FUNCTIONS)

        def work() -> list[tuple[Any, ...]]:
            return [(other.id,) for (value,) in _run(text, self._values(model, own, other)) if value is not None]

        self._expect_own(text, own, work, undo=False)

    def _values(self, model: Any, own: Furnished, other: Furnished) -> dict[str, Any]:
        rows = {table: row for (tenant, table), row in self.rows.items() if tenant == other.id}
        return {**rows, "own": own.id, "other": other.id, "row": rows[model._meta.db_table], "fresh": uuid7()}

    def _expect_own(self, name: str, own: Furnished, work: Callable[[], list[tuple[Any, ...]]], *, undo: bool) -> None:
        try:
            with tenant_scope():
                tenants: set[UUID] = {row[0] for row in work()}
                if undo:
                    transaction.set_rollback(True)
        except DatabaseError as error:
            state = getattr(error.__cause__, "sqlstate", None) or ""
            self.seen["refused by the database"] += 1
            if state not in REFUSALS and not state.startswith("23"):
                self.violations.append(f"{name}: proves nothing, for it is wrong: {error}")
            return
        self.seen["own rows returned" if own.id in tenants else "nothing found"] += 1
        if tenants - {own.id}:
            self.violations.append(f"{name}: reached {tenants - {own.id}}")


def _run(statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        return list(cursor.fetchall())
