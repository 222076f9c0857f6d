"""The desk's menu: which pages, in which order, under which heading.

A page is a model (`app.model`) or a `tenants.desk.pages` page (its name). What stands under `PLATFORM` is shown to
platform staff there and nowhere else; everybody else sees what their role may view.
"""

PLATFORM = "Platform"

NAVIGATION: dict[str, tuple[str, ...]] = {
    "Build": (
        "playground",
        "inference.prompt",
        "inference.promptversion",
        "inference.grant",
        "inference.variant",
        "safety_policy",
        "inference.safetypolicy",
    ),
    "Knowledge": ("knowledge.vectorstore", "knowledge.vectorstorefile", "knowledge.file"),
    "Monitor": (
        "inference.generation",
        "inference.inferenceattempt",
        "inference.screening",
        "inference.feedback",
    ),
    "Billing": (
        "usage",
        "limits",
        "billing.budget",
        "billing.budgetalert",
        "billing.statement",
        "billing.creditnote",
        "billing.report",
        "billing.reportschedule",
        "billing.usagerecord",
    ),
    "Access": (
        "tenants.apikey",
        "tenants.membership",
        "tenants.invitation",
        "tenants.webhookendpoint",
        "tenants.webhookdelivery",
        "tenants.auditevent",
        "tenants.signingsecret",
        "tenants.tenant",
    ),
    PLATFORM: (
        "platform_tenants",
        "deployments",
        "tenants.tenant",
        "tenants.user",
        "tenants.staffview",
        "inference.model",
        "inference.deployment",
        "inference.fallback",
        "billing.plan",
        "billing.subscription",
        "billing.limitoverride",
        "billing.price",
        "billing.providerprice",
        "billing.tenantprice",
        "billing.planallowance",
        "billing.tenantallowance",
        "billing.providerbill",
        "billing.skumapping",
        "billing.varianceaccount",
        "billing.variancealert",
        "billing.ledgerfault",
    ),
}


def places(*, staff: bool) -> dict[str, tuple[str, ...]]:
    """Heading → pages, for platform staff or for a tenant."""
    if not staff:
        return {group: pages for group, pages in NAVIGATION.items() if group != PLATFORM}
    theirs = frozenset(NAVIGATION[PLATFORM])
    own = {group: tuple(page for page in pages if page not in theirs) for group, pages in NAVIGATION.items()}
    return own | {PLATFORM: NAVIGATION[PLATFORM]}
