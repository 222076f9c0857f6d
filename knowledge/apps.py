"""The knowledge app."""

from django.apps import AppConfig


class KnowledgeConfig(AppConfig):
    """See the package's docstring."""

    name = "knowledge"
