"""Who may do what: the scopes of keys and the permissions of roles, as one table each."""

#: Signing secrets of end-user tokens: who makes them speaks for every group.
SPEAKS_FOR_ALL = "end_users.write"

#: What an API key may be allowed. `*` in a request for a new key is not a thing: a key names what it needs.
KEY_SCOPES = frozenset(
    {
        "inference",  # chat completions, embeddings, models
        "files.read",
        "files.write",
        "vector_stores.read",  # search included
        "vector_stores.write",
        "models.read",  # the tenant's own aliases, variants and deployments; `GET /v1/models` needs "inference"
        "models.write",
        "prompts.read",  # rendering included; calls that use a prompt need "inference" only
        "prompts.write",
        "feedback.read",  # exports for evaluation and fine-tuning included
        "feedback.write",
        "usage.read",  # finance: usage, costs, and reports that were made
        "reports.write",  # ask for reports, and schedule them
        "keys.write",  # issue, list and revoke keys
        SPEAKS_FOR_ALL,
        "budgets.read",
        "budgets.write",
        "webhooks.read",  # endpoints and deliveries
        "webhooks.write",
        "safety.read",  # policies, and what the screens found
        "safety.write",
    }
)

OPERATOR, FINANCE = "operator", "finance"
#: What a platform key may be allowed: to run the platform, and to read and settle its money.
PLATFORM_SCOPES = (FINANCE, OPERATOR)

#: Who may do what in the admin: `<object>.<view|change>`, and the roles that hold it.
WHO_MAY: dict[str, tuple[str, ...]] = {
    "home.view": ("owner", "admin", "developer", "finance", "viewer"),
    "documents.view": ("owner", "admin", "developer", "viewer"),
    "documents.change": ("owner", "admin", "developer"),
    "models.view": ("owner", "admin", "developer", "viewer"),
    "variants.view": ("owner", "admin", "developer", "viewer"),
    "variants.change": ("owner", "admin"),  # what answers the tenant's users
    "prompts.view": ("owner", "admin", "developer", "viewer"),
    "prompts.change": ("owner", "admin", "developer"),
    "playground.view": ("owner", "admin", "developer"),
    "playground.change": ("owner", "admin", "developer"),  # to run it: that costs money
    "safety.view": ("owner", "admin", "developer"),
    "safety.change": ("owner", "admin"),
    "requests.view": ("owner", "admin", "developer", "finance", "viewer"),  # how a call went and what it cost
    "content.view": ("owner", "admin", "developer"),  # what was asked, found and answered
    "feedback.view": ("owner", "admin", "developer"),
    "usage.view": ("owner", "admin", "developer", "finance", "viewer"),
    "budgets.view": ("owner", "admin", "developer", "finance"),
    "budgets.change": ("owner", "admin"),
    "reports.view": ("owner", "admin", "finance"),
    "reports.change": ("owner", "admin", "finance"),
    "keys.view": ("owner", "admin", "developer"),
    "keys.change": ("owner", "admin", "developer"),
    "members.view": ("owner", "admin"),
    "members.change": ("owner", "admin"),
    "webhooks.view": ("owner", "admin", "developer"),
    "webhooks.change": ("owner", "admin", "developer"),
    "audit.view": ("owner", "admin", "finance"),
    "settings.view": ("owner", "admin"),
    "settings.change": ("owner",),
}

#: The same by role.
ROLE_PERMISSIONS: dict[str, frozenset[str]] = {
    role: frozenset(permission for permission, roles in WHO_MAY.items() if role in roles)
    for role in ("owner", "admin", "developer", "finance", "viewer")
}


def role_may(role: str | None, permission: str) -> bool:
    """Whether `role` (None: not a member) holds `permission`."""
    return permission in ROLE_PERMISSIONS.get(role or "", frozenset())
