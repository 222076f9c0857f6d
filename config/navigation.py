"""The desk's menu: which pages, in which order, under which heading.

A page is a model (`app.model`) or a `tenants.desk.pages` page (its name). Pages about one thing are a family: the menu
names the first of them that the visitor may see, and each of them shows all of them as tabs. What stands under
`FOR_STAFF` is shown to platform staff there and nowhere else; everybody else sees what their role may view.
"""

#: Pages about one thing; the first gives it its name in the menu.
Family = tuple[str, ...]

PLATFORM, PRICES, BOOKS = "Platform", "Plans and prices", "The platform's books"
#: The headings of what is the platform's alone.
FOR_STAFF = (PLATFORM, PRICES, BOOKS)

NAVIGATION: dict[str, tuple[Family, ...]] = {
    "Build": (
        ("playground",),
        ("inference.prompt", "inference.promptversion"),
        ("inference.grant",),
        ("inference.variant",),
        ("safety_policy", "inference.safetypolicy", "inference.screening"),
    ),
    "Knowledge": (("knowledge.vectorstore", "knowledge.vectorstorefile", "knowledge.file"),),
    "Monitor": (("inference.generation", "inference.inferenceattempt"), ("inference.feedback",)),
    "Billing": (
        ("usage", "billing.usagerecord"),
        ("limits", "billing.budget", "billing.budgetalert"),
        ("billing.statement", "billing.creditnote"),
        ("billing.report", "billing.reportschedule"),
    ),
    "Access": (
        ("tenants.apikey",),
        ("tenants.membership", "tenants.invitation"),
        ("tenants.webhookendpoint", "tenants.webhookdelivery"),
        ("tenants.auditevent",),
        ("tenants.tenant", "sign_on", "tenants.signingsecret"),
    ),
    PLATFORM: (
        ("platform_tenants", "tenants.tenant"),
        ("deployments", "inference.deployment", "inference.model", "inference.fallback"),
        ("tenants.user",),
        ("tenants.staffview",),
    ),
    PRICES: (
        ("price_book", "billing.price", "billing.providerprice", "billing.tenantprice"),
        ("plans", "billing.plan", "billing.planallowance"),
        ("billing.subscription", "billing.limitoverride", "billing.tenantallowance"),
    ),
    BOOKS: (
        ("billing.providerbill", "billing.skumapping"),
        ("billing.varianceaccount", "billing.variancealert"),
        ("billing.ledgerfault",),
    ),
}


def families(*, staff: bool) -> dict[str, list[Family]]:
    """Heading → families, for platform staff or for a tenant; each page once."""
    own = {group: found for group, found in NAVIGATION.items() if group not in FOR_STAFF}
    if not staff:
        return {group: list(found) for group, found in own.items()}
    theirs = {group: list(NAVIGATION[group]) for group in FOR_STAFF}
    once = {page for found in theirs.values() for family in found for page in family}
    return {group: _without(once, found) for group, found in own.items()} | theirs


def _without(pages: set[str], found: tuple[Family, ...]) -> list[Family]:
    left = [tuple(page for page in family if page not in pages) for family in found]
    return [family for family in left if family]
