"""Admin pages of billing: budgets, the ledger, statements; plans, prices and providers' bills for platform staff."""

from . import bills, budgets, limits, plans, prices, statements, usage, variance  # noqa: F401  for effect: they register
