"""`manage.py reencrypt_secrets`: after a new key was put in front of FIELD_ENCRYPTION_KEYS, bring every row under it."""

from typing import Any

from tenants.command_line import OperatorCommand
from tenants.errors import InvalidRequest
from tenants.reencryption import reencrypt_everything


class Command(OperatorCommand):
    """See the module's docstring."""

    help = "Encrypt every stored secret with the newest of FIELD_ENCRYPTION_KEYS. Safe to repeat, and while serving."

    def run(self, options: dict[str, Any]) -> dict[str, Any]:
        """Do it; fails at the end where rows cannot be read, naming them."""
        columns = reencrypt_everything()
        lost = [f"{column.name} of {pk}" for column in columns for pk in column.undecryptable]
        if lost:
            done = sum(column.reencrypted for column in columns)
            raise InvalidRequest(
                f"{done} secrets were re-encrypted, but no key in FIELD_ENCRYPTION_KEYS opens {len(lost)}: "
                f"{', '.join(lost[:20])}. Put their key back on the list, or enter them anew."
            )
        return {column.name: f"{column.reencrypted} of {column.secrets} re-encrypted" for column in columns}
