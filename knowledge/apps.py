"""The knowledge app."""

from django.apps import AppConfig


class KnowledgeConfig(AppConfig):
    """See the package's docstring."""

    name = "knowledge"

    def ready(self) -> None:
        """Quotas of plans are counted here."""
        from billing.limits.quotas import count_with
        from billing.models import Limit

        from .holdings import bytes_held, documents_held

        count_with(Limit.DOCUMENTS, documents_held)
        count_with(Limit.STORED_BYTES, bytes_held)
