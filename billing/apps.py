"""The billing app."""

from django.apps import AppConfig


class BillingConfig(AppConfig):
    """How much: plans, prices, budgets, reservations, the ledger."""

    name = "billing"

    def ready(self) -> None:
        """A new tenant starts with a plan."""
        from tenants.registry import on_new_tenant

        from .plans import subscribe

        on_new_tenant(subscribe)
