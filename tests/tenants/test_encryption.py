"""Stored credentials."""

import pytest
from cryptography.fernet import Fernet
from django.conf import settings as project

from tenants.encryption import EncryptedTextField, Undecryptable, decrypt, encrypt

OLD, NEW = Fernet.generate_key().decode(), Fernet.generate_key().decode()


def test_a_text_comes_back_and_is_not_readable():
    token = encrypt("sk-upstream-ü")
    assert "upstream" not in token
    assert decrypt(token) == "sk-upstream-ü"
    assert encrypt("sk-upstream-ü") != token


def test_nothing_stays_nothing():
    assert encrypt("") == decrypt("") == ""


def test_keys_rotate(settings):
    settings.FIELD_ENCRYPTION_KEYS = [OLD]
    token = encrypt("secret")
    settings.FIELD_ENCRYPTION_KEYS = [NEW, OLD]
    assert decrypt(token) == "secret"
    newer = encrypt("secret")
    settings.FIELD_ENCRYPTION_KEYS = [NEW]
    assert decrypt(newer) == "secret"
    with pytest.raises(Undecryptable):
        decrypt(token)


def test_the_development_key_is_one():
    assert [Fernet(key) for key in project.FIELD_ENCRYPTION_KEYS]


def test_the_field_encrypts_on_the_way_in_and_decrypts_on_the_way_out():
    field = EncryptedTextField()
    stored = field.get_prep_value("secret")
    assert "secret" not in stored
    assert field.from_db_value(stored, None, None) == "secret"
    assert field.get_prep_value(None) is None
    assert field.from_db_value(None, None, None) is None
