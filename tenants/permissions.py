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

#: What each role may do in the admin: `<object>.<view|change>`.
ROLE_PERMISSIONS: dict[str, frozenset[str]] = {
    "viewer": frozenset({"documents.view", "usage.view", "models.view", "prompts.view"}),
    "finance": frozenset({"usage.view", "budgets.view", "audit.view", "reports.view", "reports.change"}),
    "developer": frozenset(
        {"documents.view", "documents.change", "keys.view", "keys.change", "usage.view", "budgets.view", "models.view"}
        | {"prompts.view", "feedback.view", "webhooks.view", "webhooks.change"}
    ),
    "admin": frozenset(
        {"documents.view", "documents.change", "keys.view", "keys.change", "members.view", "members.change"}
        | {"usage.view", "budgets.view", "budgets.change", "models.view", "audit.view", "settings.view"}
        | {"prompts.view", "feedback.view", "safety.view", "safety.change", "webhooks.view", "webhooks.change"}
        | {"reports.view", "reports.change"}
    ),
    "owner": frozenset(
        {"documents.view", "documents.change", "keys.view", "keys.change", "members.view", "members.change"}
        | {"usage.view", "budgets.view", "budgets.change", "models.view", "audit.view"}
        | {"settings.view", "settings.change", "prompts.view", "feedback.view", "safety.view", "safety.change"}
        | {"webhooks.view", "webhooks.change", "reports.view", "reports.change"}
    ),
}


def role_may(role: str | None, permission: str) -> bool:
    """Whether `role` (None: not a member) holds `permission`."""
    return permission in ROLE_PERMISSIONS.get(role or "", frozenset())
