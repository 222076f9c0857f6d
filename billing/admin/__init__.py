"""Admin pages of billing: budgets, the ledger, statements, reports; plans, prices and providers' bills for staff."""

from . import (  # noqa: F401  for effect: they register themselves
    bills,
    budgets,
    faults,
    limits,
    limits_page,
    plans,
    price_book,
    prices,
    report_pages,
    reports,
    statements,
    upcoming,
    usage,
    usage_page,
    variance,
)
