"""Admin pages of knowledge: vector stores, files, and how far the ingestion of each file is."""

from . import (  # noqa: F401  they register themselves
    documents,
    download,
    files,
    preview,
    store_files,
    store_search,
    store_sources,
    stores,
)
