"""The desk's menu: which pages, in which order, under which heading.

A page is a model (`app.model`) or a `tenants.desk.pages` page (its name). What stands under `FOR_STAFF` is shown to
platform staff there and nowhere else; everybody else sees what their role may view.
"""

PLATFORM, PRICES, BOOKS = "Platform", "Plans and prices", "The platform's books"
#: The headings of what is the platform's alone.
FOR_STAFF = (PLATFORM, PRICES, BOOKS)

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
        "sign_on",
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
    ),
    PRICES: (
        "price_book",
        "plans",
        "billing.plan",
        "billing.subscription",
        "billing.limitoverride",
        "billing.price",
        "billing.providerprice",
        "billing.tenantprice",
        "billing.planallowance",
        "billing.tenantallowance",
    ),
    BOOKS: (
        "billing.providerbill",
        "billing.skumapping",
        "billing.varianceaccount",
        "billing.variancealert",
        "billing.ledgerfault",
    ),
}

#: Lists that better pages lead to: a prompt's editor, the safety policy, the members, a webhook endpoint. Only platform
#: staff, who do not have all of those, find them in the menu as well.
FOUND_WITHIN = frozenset(
    {"inference.promptversion", "inference.safetypolicy", "tenants.invitation", "tenants.webhookdelivery"}
)


def places(*, staff: bool) -> dict[str, tuple[str, ...]]:
    """Heading → pages, for platform staff or for a tenant."""
    own = {group: pages for group, pages in NAVIGATION.items() if group not in FOR_STAFF}
    if not staff:
        return {group: tuple(page for page in pages if page not in FOUND_WITHIN) for group, pages in own.items()}
    theirs = {group: NAVIGATION[group] for group in FOR_STAFF}
    once = {page for pages in theirs.values() for page in pages}
    return {group: tuple(page for page in pages if page not in once) for group, pages in own.items()} | theirs
