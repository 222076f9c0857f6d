"""What every migration leaves behind besides tables: the SQL functions of each app, and the grants.

Functions are code, kept in `<app>/sql/*.sql` and replaced as a whole; grants are explicit, table by table, from the
models' `app_may` and `definer_may`. Both run as owner, once, after the last app's `post_migrate`. Partitions get no
grants: they are reached through their parent.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.db import connections, transaction

from .database_roles import APP, DEFINER, STAFF

#: Functions that may cross tenants. The catalogue audit fails on any SECURITY DEFINER function outside this list.
DEFINER_FUNCTIONS = frozenset(
    {
        "claim_work", "renew_work", "expired_work", "tend_queue", "queue_depth", "memberships_of", "tenant_by_slug",
        "overdue_staff_views",
        "usage_totals", "roll_up_usage", "expired_reservations", "expired_contents", "expired_files", "expired_stores",
        "due_bucket_sources", "due_bill_corrections", "end_posted_bills", "tenants_wanting", "book_variance",
        "raise_variance_alerts",
        "ledger_faults", "check_ledger",
        "tenants_with_budget_alerts",
        "due_statements",
        "leave_lanes", "tenants_with_expired_responses", "expired_conversation_items", "deployments_to_check",
        "tenants_with_files",
        "due_report_schedules", "expired_reports",
        "roll_up_calls", "recount_calls",
    }
)  # fmt: skip

#: What the app may do with tables of other people's apps, where that is less than everything. People's e-mail addresses
#: are `User`'s: nothing here adds others.
OTHERS_APP_MAY = {"account.emailaddress": ("SELECT",), "account.emailconfirmation": ()}

_DML = ("SELECT", "INSERT", "UPDATE", "DELETE")
_APPEND_ONLY = ("SELECT", "INSERT")


def install_after_migrate(app_config: AppConfig, using: str, **kwargs: Any) -> None:
    """`post_migrate` receiver: install once the last app is migrated, through the owner."""
    last = [config for config in apps.get_app_configs() if config.models_module is not None][-1]
    if using == "owner" and app_config is last:
        install_functions(using)
        grant(using)


def install_functions(using: str) -> None:
    """Replace every function, in one transaction: a function that a file no longer has, or has with other arguments,
    is gone, and callers never see the moment between. Those marked SECURITY DEFINER are handed to the definer role.
    """
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        kept = _functions_of_triggers(cursor)
        for signature, definer, _ in own_functions(cursor):
            if signature not in kept:
                with _as_owner_of(cursor, definer):
                    cursor.execute(f"DROP FUNCTION {signature}")
        for config in apps.get_app_configs():
            for file in sorted(Path(config.path, "sql").glob("*.sql")):
                cursor.execute(file.read_text())
        # EXECUTE belongs to whom it is granted, for functions made later too.
        cursor.execute("ALTER DEFAULT PRIVILEGES IN SCHEMA public REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
        for signature, definer, _ in own_functions(cursor):
            if definer:
                cursor.execute(f"ALTER FUNCTION {signature} OWNER TO {DEFINER}")
            with _as_owner_of(cursor, definer):
                cursor.execute(f"REVOKE ALL ON FUNCTION {signature} FROM PUBLIC")
                cursor.execute(f"GRANT EXECUTE ON FUNCTION {signature} TO {APP}, {STAFF}, {DEFINER}")


@contextmanager
def _as_owner_of(cursor: Any, definer: bool) -> Iterator[None]:
    """The owner may become the definer role, but does not inherit its rights."""
    if not definer:
        yield
        return
    cursor.execute(f"SET LOCAL ROLE {DEFINER}")
    yield
    cursor.execute("RESET ROLE")


def _functions_of_triggers(cursor: Any) -> set[str]:
    """Migrations bring them, with their triggers (`append_only`)."""
    cursor.execute("SELECT tgfoid::regprocedure::text FROM pg_trigger WHERE NOT tgisinternal")
    return {signature for (signature,) in cursor.fetchall()}


def own_functions(cursor: Any) -> list[tuple[str, bool, str]]:
    """Atrium's own functions, extensions' left out: (signature, security definer, owner)."""
    cursor.execute(
        "SELECT p.oid::regprocedure::text, p.prosecdef, p.proowner::regrole::text FROM pg_proc p "
        "WHERE p.pronamespace = 'public'::regnamespace AND NOT EXISTS "
        "(SELECT 1 FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')"
    )
    return list(cursor.fetchall())


def grant(using: str) -> None:
    """Give each role what the models declare, and nothing else."""
    with connections[using].cursor() as cursor:
        for model in apps.get_models(include_auto_created=True):
            table = connections[using].ops.quote_name(model._meta.db_table)
            app_may = getattr(model, "app_may", OTHERS_APP_MAY.get(model._meta.label_lower, _DML))
            staff_may = _APPEND_ONLY if app_may == _APPEND_ONLY else _DML
            wanted = {APP: app_may, STAFF: staff_may, DEFINER: getattr(model, "definer_may", ())}
            for role, privileges in wanted.items():
                cursor.execute(f"REVOKE ALL ON {table} FROM {role}")
                if privileges:
                    cursor.execute(f"GRANT {', '.join(privileges)} ON {table} TO {role}")
        cursor.execute(f"GRANT USAGE ON ALL SEQUENCES IN SCHEMA public TO {APP}, {STAFF}")
