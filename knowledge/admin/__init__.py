"""Admin pages of knowledge: vector stores, files, and how far the ingestion of each file is."""

from . import documents, files, preview, stores  # noqa: F401  they register themselves
