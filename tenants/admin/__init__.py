"""Admin pages of access: members, keys, the audit log, settings, webhooks; people for platform staff."""

from . import audit, keys, members, people, settings, signing_secrets, switches, webhooks  # noqa: F401  they register themselves
