"""Admin pages of billing: budgets, the ledger; plans, subscriptions and prices for platform staff."""

from . import budgets, limits, plans, prices, usage, variance  # noqa: F401  for effect: they register themselves
