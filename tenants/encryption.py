"""Stored credentials: encrypted with the newest of `FIELD_ENCRYPTION_KEYS`, readable under any of them."""

from typing import Any

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from django.conf import settings
from django.db import models


class Undecryptable(ValueError):
    """A stored value was encrypted under a key that is no longer on the list."""


def _fernet() -> MultiFernet:
    return MultiFernet([Fernet(key) for key in settings.FIELD_ENCRYPTION_KEYS])


def encrypt(text: str) -> str:
    """`text` as a Fernet token; empty stays empty."""
    return _fernet().encrypt(text.encode()).decode() if text else ""


def decrypt(token: str) -> str:
    """The text behind a token.

    Raises:
        Undecryptable: no key of the list opens it.
    """
    try:
        return _fernet().decrypt(token.encode()).decode() if token else ""
    except InvalidToken as error:
        raise Undecryptable(
            "a stored credential was encrypted under a key that is not in FIELD_ENCRYPTION_KEYS"
        ) from error


def renewed(token: str) -> str | None:
    """`token` under the newest key, or None where it already is.

    Raises:
        Undecryptable: no key of the list opens it.
    """
    try:
        Fernet(settings.FIELD_ENCRYPTION_KEYS[0]).decrypt(token.encode())
    except InvalidToken:
        return encrypt(decrypt(token))
    return None


def shown(secret: str) -> str:
    """What may be said of a stored secret: whether there is one and, of a long one, how it ends."""
    if not secret:
        return "not set"
    return f"set, ends …{secret[-4:]}" if len(secret) >= 16 else "set"


class EncryptedTextField(models.TextField):
    """A text column whose database value is a Fernet token."""

    def get_prep_value(self, value: Any) -> Any:
        """Encrypt on the way in."""
        return encrypt(value) if value is not None else None

    def from_db_value(self, value: Any, expression: Any, connection: Any) -> Any:
        """Decrypt on the way out."""
        return decrypt(value) if value is not None else None
