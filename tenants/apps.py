"""The tenants app: functions and grants follow each migration, checks guard the models and the catalogue."""

from django.apps import AppConfig
from django.core import checks
from django.db.models.signals import post_migrate


class TenantsConfig(AppConfig):
    """Who: tenants, members, keys, scope, audit."""

    name, verbose_name = "tenants", "Access"
    default_auto_field = "django.db.models.BigAutoField"

    def ready(self) -> None:
        """Connect what follows a migration, and the checks."""
        from .catalogue import check_catalogue
        from .database_objects import install_after_migrate
        from .model_checks import check_models

        post_migrate.connect(install_after_migrate, dispatch_uid="tenants.database_objects")
        checks.register(check_models, checks.Tags.models)
        checks.register(check_catalogue, checks.Tags.database)
