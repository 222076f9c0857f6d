"""Create Atrium's database roles, its database and the `vector` extension, as a superuser. Safe to run again.

    SUPERUSER_DATABASE_URL=… DATABASE_URL=… OWNER_DATABASE_URL=… STAFF_DATABASE_URL=… python -m config.bootstrap

Passwords are taken from the three role URLs. A managed Postgres that offers no superuser needs the same statements
run by its administrator; nothing else in Atrium asks for more than the owner's rights.
"""

import os
import sys
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql

from tenants.database_roles import APP, DEFINER, OWNER, STAFF

LOGIN_ROLES = (OWNER, APP, STAFF)


def bootstrap(superuser_url: str, *, database: str = "atrium", passwords: dict[str, str | None], tests: bool) -> None:
    """Create roles, database and extension.

    Args:
        superuser_url: libpq URL of a superuser, on the maintenance database `postgres`.
        passwords: role name → password, or None under trust authentication.
        tests: also let the owner create databases, and give `template1` the extension, as the test suite needs.
    """
    with psycopg.connect(superuser_url, autocommit=True) as connection:
        for role in LOGIN_ROLES:
            _ensure_login_role(connection, role, passwords.get(role))
        _ensure_role(connection, DEFINER, "NOLOGIN")
        # SET without INHERIT: the owner may hand functions to the definer role but does not gain its policies.
        connection.execute(sql.SQL("GRANT {} TO {} WITH INHERIT FALSE, SET TRUE").format(_name(DEFINER), _name(OWNER)))
        if tests:
            connection.execute(sql.SQL("ALTER ROLE {} CREATEDB").format(_name(OWNER)))
        _ensure_database(connection, database)
    for name in (database, "template1") if tests else (database,):
        with psycopg.connect(superuser_url, dbname=name, autocommit=True) as connection:
            connection.execute("CREATE EXTENSION IF NOT EXISTS vector")
            connection.execute("REVOKE ALL ON SCHEMA public FROM PUBLIC")
            connection.execute(sql.SQL("GRANT ALL ON SCHEMA public TO {}").format(_name(OWNER)))
            connection.execute(sql.SQL("GRANT USAGE, CREATE ON SCHEMA public TO {}").format(_name(DEFINER)))
            connection.execute(sql.SQL("GRANT USAGE ON SCHEMA public TO {}, {}").format(_name(APP), _name(STAFF)))


def _name(role: str) -> sql.Identifier:
    return sql.Identifier(role)


def _ensure_role(connection: psycopg.Connection, role: str, options: str) -> None:
    if connection.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [role]).fetchone() is None:
        connection.execute(sql.SQL("CREATE ROLE {}").format(_name(role)))
    connection.execute(
        sql.SQL("ALTER ROLE {} NOSUPERUSER NOBYPASSRLS NOCREATEROLE {}").format(_name(role), sql.SQL(options))
    )


def _ensure_login_role(connection: psycopg.Connection, role: str, password: str | None) -> None:
    _ensure_role(connection, role, "LOGIN")
    if password:
        connection.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(_name(role), sql.Literal(password)))


def _ensure_database(connection: psycopg.Connection, database: str) -> None:
    if connection.execute("SELECT 1 FROM pg_database WHERE datname = %s", [database]).fetchone() is None:
        connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(_name(database), _name(OWNER)))


def _password(url: str) -> str | None:
    password = urlsplit(url).password
    return unquote(password) if password else None


def main() -> int:
    """Bootstrap from the environment (see the module's docstring)."""
    urls = {APP: "DATABASE_URL", OWNER: "OWNER_DATABASE_URL", STAFF: "STAFF_DATABASE_URL"}
    missing = [name for name in ("SUPERUSER_DATABASE_URL", *urls.values()) if not os.environ.get(name)]
    if missing:
        print(f"bootstrap needs {', '.join(missing)} in the environment", file=sys.stderr)
        return 2
    bootstrap(
        os.environ["SUPERUSER_DATABASE_URL"],
        database=urlsplit(os.environ["DATABASE_URL"]).path.lstrip("/"),
        passwords={role: _password(os.environ[variable]) for role, variable in urls.items()},
        tests=False,
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
