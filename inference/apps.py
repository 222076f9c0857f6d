"""The inference app."""

from django.apps import AppConfig


class InferenceConfig(AppConfig):
    """What it says: models, routing, providers, answering."""

    name = "inference"

    def ready(self) -> None:
        """A new tenant may use the models that run inside Atrium."""
        from tenants.registry import on_new_tenant

        from .catalogue import grant_built_in

        on_new_tenant(grant_built_in)
