"""Production refuses to start without its secrets and addresses, and passes Django's deployment checks with them."""

import os
import runpy
import subprocess
import sys
from pathlib import Path

import environ
import pytest
from django.core.exceptions import ImproperlyConfigured

_ROOT = Path(__file__).resolve().parents[2]
_PRODUCTION = {
    "ATRIUM_ENV": "production",
    "SECRET_KEY": "n4Vq8hXw2rTz6kBd9mJs3pLf7yGc1aEu5oRi0QxWvHtKbZgNjM",
    "API_KEY_HASH_KEYS": "a" * 64,
    "FIELD_ENCRYPTION_KEYS": "c29tZSBmZXJuZXQga2V5IGZvciB0aGUgdGVzdHMuISE=",
    "ALLOWED_HOSTS": "api.example.com",
    "DATABASE_URL": "postgresql://app:secret@db.example.com/atrium",
    "REDIS_URL": "redis://redis.example.com:6379/0",
}


def manage(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """manage.py with this environment only, besides what Python itself needs."""
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG")}
    return subprocess.run(
        [sys.executable, "manage.py", *arguments], cwd=_ROOT, env=kept | environment, capture_output=True, text=True
    )


@pytest.mark.parametrize("empty", [False, True], ids=["absent", "empty"])
@pytest.mark.parametrize("missing", sorted(_PRODUCTION.keys() - {"ATRIUM_ENV"}))
def test_production_refuses_to_start_without(missing: str, empty: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {name: value for name, value in _PRODUCTION.items() if name != missing}
    monkeypatch.setattr(environ.Env, "ENVIRON", others | ({missing: ""} if empty else {}))
    with pytest.raises(ImproperlyConfigured, match=f"^{missing} must be set in production$"):
        runpy.run_path(str(_ROOT / "config/settings.py"))


def test_a_command_tells_what_production_lacks() -> None:
    ended = manage("check", **{name: value for name, value in _PRODUCTION.items() if name != "REDIS_URL"})
    assert ended.returncode != 0
    assert "REDIS_URL must be set in production" in ended.stderr


_SENTRY = """
import sentry_sdk
client = sentry_sdk.get_client()
shown = ("send_default_pii", "max_request_body_size", "include_local_variables")
print(client.is_active(), *(client.options[name] for name in shown if client.is_active()))
"""


def test_development_starts_with_nothing_set_and_tells_sentry_nothing(tmp_path: Path) -> None:
    # With its system checks, which `shell` alone leaves out.
    code = f"from django.core.management import call_command\ncall_command('check')\n{_SENTRY}"
    ended = manage("shell", "--no-imports", "-c", code, ATRIUM_VAR=str(tmp_path))
    assert (ended.returncode, ended.stdout.split()[-1]) == (0, "False"), ended.stderr


def test_sentry_runs_with_a_dsn_and_is_told_no_content() -> None:
    ended = manage("shell", "--no-imports", "-c", _SENTRY, SENTRY_DSN="http://public@127.0.0.1:9/1")
    assert ended.stdout.split() == ["True", "False", "never", "False"], ended.stderr
