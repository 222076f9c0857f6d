"""Stored secrets under the newest key, so that an older one can be taken off `FIELD_ENCRYPTION_KEYS`.

Works as the audited staff role on every encrypted column there is, a batch a transaction; a run that breaks off loses
nothing, and another does only what is left. A secret that somebody changes meanwhile is theirs: a row is written only
where it still holds what was read. Texts stay the same, so no tenant's audit log hears of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Any

from allauth.mfa.models import Authenticator
from django.apps import apps
from django.db import models, transaction
from django.db.models.functions import Cast

from .encryption import EncryptedTextField, Undecryptable, renewed
from .scope import as_staff

_BATCH_ROWS = 500
_STORED = models.TextField()
_FACTORS = ("secret", "seed")


@dataclass
class Column:
    """What became of one column's secrets. `undecryptable`: ids of rows that no key on the list opens."""

    name: str
    secrets: int = 0
    reencrypted: int = 0
    undecryptable: list[str] = field(default_factory=list)


def reencrypt_everything() -> list[Column]:
    """Bring every stored secret under the newest key; says what was done, column by column."""
    with as_staff():
        columns = [_reencrypt(model, column) for model, column in encrypted_columns()]
        return [*columns, *map(_reencrypt_factor, _FACTORS)]


def encrypted_columns() -> list[tuple[type[models.Model], str]]:
    """Every encrypted column of the database."""
    return [
        (model, column.name)
        for model in apps.get_models()
        for column in model._meta.local_concrete_fields
        if isinstance(column, EncryptedTextField)
    ]


def _reencrypt(model: type[models.Model], name: str) -> Column:
    rows = model._base_manager.using("staff").annotate(stored=Cast(name, _STORED))
    found = Column(f"{model._meta.db_table}.{name}")
    with_secret = rows.exclude(stored="").values_list("pk", "stored").iterator(chunk_size=_BATCH_ROWS)
    for batch in _batches(with_secret):
        with transaction.atomic(using="staff"):
            for pk, stored in batch:
                found.secrets += 1
                try:
                    token = renewed(stored)
                except Undecryptable:
                    found.undecryptable.append(str(pk))
                    continue
                if token is not None:
                    unchanged = rows.filter(pk=pk, stored=stored)
                    found.reencrypted += unchanged.update(**{name: models.Value(token, _STORED)})
    return found


def _reencrypt_factor(name: str) -> Column:
    """People's second factors: allauth keeps a secret inside of each row's JSON."""
    found = Column(f"{Authenticator._meta.db_table}.data.{name}")
    for pk in Authenticator.objects.using("staff").filter(data__has_key=name).values_list("pk", flat=True):
        with transaction.atomic(using="staff"):
            # Locked: a recovery code that is used meanwhile is written to the same JSON.
            row = Authenticator.objects.using("staff").select_for_update().filter(pk=pk).first()
            if row is None:
                continue
            found.secrets += 1
            try:
                token = renewed(row.data[name])
            except Undecryptable:
                found.undecryptable.append(str(pk))
                continue
            if token is not None:
                row.data[name] = token
                row.save(update_fields=["data"])
                found.reencrypted += 1
    return found


def _batches(rows: Iterator[Any]) -> Iterator[list[Any]]:
    while batch := list(islice(rows, _BATCH_ROWS)):
        yield batch
