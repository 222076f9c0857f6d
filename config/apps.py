"""The composition root as an app: it makes Celery's application current and wires ports to implementations."""

from django.apps import AppConfig


class ConfigConfig(AppConfig):
    """Last in INSTALLED_APPS: everything it wires is loaded."""

    name = "config"

    def ready(self) -> None:
        """Import for effect: tasks declared with `shared_task` bind to this application."""
        from inference.embedding import embedder_for
        from inference.reranking import reranker_for, reranker_names
        from inference.rewriting import default_writer
        from knowledge import ports

        from . import celery  # noqa: F401

        ports.wire(embedder_for)
        ports.wire_reranker(reranker_for)
        ports.wire_reranker_names(reranker_names)
        ports.wire_text_model(default_writer)
