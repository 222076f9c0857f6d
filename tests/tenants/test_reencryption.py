"""Rotation of the keys that stored secrets are encrypted with: every column, once, whatever is written meanwhile."""

import io
import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from allauth.mfa.models import Authenticator
from cryptography.fernet import Fernet
from django.core.management import CommandError, call_command
from django.db import connections, transaction

from inference.models import Model, TenantDeployment
from tenants import reencryption
from tenants.audit import COMMAND_LINE
from tenants.encryption import decrypt, encrypt, shown
from tenants.ids import uuid7
from tenants.models import User
from tenants.reencryption import encrypted_columns, reencrypt_everything
from tenants.scope import acting_for, tenant_scope
from tenants.signing_secrets import create_secret, load_secrets
from tests.conftest import Member
from tests.tenants.committed import _django_db_helper, committed

__all__ = ["_django_db_helper", "committed"]

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def own_deployment(member: Member, **secrets: str) -> Any:
    with acting_for(member.tenant.id), tenant_scope() as tenant_id:
        model = Model.objects.get(name="local-extractive")
        return TenantDeployment.objects.create(
            tenant_id=tenant_id, model=model, name="ours", provider="bedrock", **secrets
        ).pk


def secrets_of(member: Member, pk: Any) -> tuple[str, str, str]:
    with acting_for(member.tenant.id), tenant_scope():
        row = TenantDeployment.objects.get(pk=pk)
        return row.api_key, row.access_key_id, row.secret_access_key


@pytest.fixture(autouse=True)
def _no_secrets_of_other_tests(request: pytest.FixtureRequest) -> None:
    """Deployments of the platform that other tests committed have secrets under keys that nobody has any more."""
    if "committed" in request.fixturenames:
        request.getfixturevalue("committed")
        with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
            cursor.execute(
                "UPDATE inference_deployment "
                "SET api_key = '', access_key_id = '', secret_access_key = '', session_token = ''"
            )


def counts() -> dict[str, tuple[int, int]]:
    return {column.name: (column.reencrypted, column.secrets) for column in reencrypt_everything() if column.secrets}


def run() -> dict[str, Any]:
    out = io.StringIO()
    call_command("reencrypt_secrets", "--json", stdout=out)
    return json.loads(out.getvalue())


def test_every_encrypted_column_is_known() -> None:
    names = {f"{model._meta.db_table}.{name}" for model, name in encrypted_columns()}
    parts = ("api_key", "access_key_id", "secret_access_key", "session_token")
    assert names >= {f"inference_{table}.{part}" for table in ("deployment", "tenantdeployment") for part in parts}
    assert names >= {"tenants_signingsecret.secret", "knowledge_bucketsource.secret_access_key"}


def test_all_tenants_secrets_come_under_the_newest_key_once(
    committed: Callable[[str], Member], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reencryption, "_BATCH_ROWS", 2)
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    acme, globex = committed("acme"), committed("globex")
    ours = own_deployment(acme, access_key_id="AKID", secret_access_key="acme's")
    for number in range(3):
        with acting_for(globex.tenant.id):
            row, value = create_secret(name=str(number), by=COMMAND_LINE, now=datetime.now(UTC))
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    theirs = own_deployment(globex, api_key="already new")
    assert counts() == {
        "tenants_signingsecret.secret": (3, 3),
        "inference_tenantdeployment.api_key": (0, 1),
        "inference_tenantdeployment.access_key_id": (1, 1),
        "inference_tenantdeployment.secret_access_key": (1, 1),
    }
    factors = {"mfa_authenticator.data.secret", "mfa_authenticator.data.seed"}
    assert set(run()) == {f"{model._meta.db_table}.{name}" for model, name in encrypted_columns()} | factors
    assert all(reencrypted == 0 for reencrypted, _ in counts().values())
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert secrets_of(acme, ours) == ("", "AKID", "acme's")
    assert secrets_of(globex, theirs) == ("already new", "", "")
    with acting_for(globex.tenant.id):
        assert load_secrets(now=datetime.now(UTC))[row.id].value == value


def test_a_secret_that_is_changed_meanwhile_stays_changed(
    committed: Callable[[str], Member], settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    acme = committed("acme")
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    ours = own_deployment(acme, api_key="before")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    renew = reencryption.renewed

    def changed_first(token: str) -> str | None:
        with transaction.atomic(using="owner"), connections["owner"].cursor() as cursor:
            cursor.execute("UPDATE inference_tenantdeployment SET api_key = %s WHERE id = %s", [encrypt("after"), ours])
        return renew(token)

    monkeypatch.setattr(reencryption, "renewed", changed_first)
    assert counts() == {"inference_tenantdeployment.api_key": (0, 1)}
    assert secrets_of(acme, ours)[0] == "after"


def test_a_secret_of_a_lost_key_is_named_and_the_others_are_done(
    committed: Callable[[str], Member], settings: Any
) -> None:
    settings.FIELD_ENCRYPTION_KEYS = [Fernet.generate_key().decode()]
    acme, globex = committed("acme"), committed("globex")
    lost = own_deployment(acme, api_key="lost")
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    kept = own_deployment(globex, api_key="kept")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    with pytest.raises(CommandError) as failed:
        run()
    said = str(failed.value)
    assert said.startswith("1 secrets were re-encrypted, but no key in FIELD_ENCRYPTION_KEYS opens 1: ")
    assert f"inference_tenantdeployment.api_key of {lost}." in said
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert secrets_of(globex, kept)[0] == "kept"


def test_of_a_secret_only_its_end_is_shown_and_of_a_short_one_nothing() -> None:
    assert shown("sk-proj-0123456789abcd") == "set, ends …abcd"
    assert shown("short-secret") == "set" and shown("") == "not set"


def test_peoples_second_factors_are_renewed_too(committed, settings):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    user = User.objects.create_user(uuid7().hex, f"{uuid7().hex}@keys.example")
    for kind, name in (("totp", "secret"), ("recovery_codes", "seed")):
        Authenticator.objects.create(user=user, type=kind, data={name: encrypt(f"the {name}"), "used_mask": 3})
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    assert counts()["mfa_authenticator.data.secret"] == (1, 1)
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    stored = {row.type: row.data for row in Authenticator.objects.filter(user=user)}
    assert decrypt(stored["totp"]["secret"]) == "the secret"
    assert decrypt(stored["recovery_codes"]["seed"]) == "the seed"
    assert stored["recovery_codes"]["used_mask"] == 3
    Authenticator.objects.filter(user=user).delete()
