"""Admin pages of access: members, keys, the audit log, settings, webhooks; people for platform staff."""

from . import (  # noqa: F401  they register themselves
    audit,
    invitations,
    members,
    people,
    settings,
    signing_secrets,
    single_sign_on,
    switches,
    viewing,
    webhooks,
)
