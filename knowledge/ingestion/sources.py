"""The embedder of a store, which must speak of the space that the store's vectors are in."""

from ..models import VectorStore
from ..ports import Embedder, SpaceChanged, embedder_for


def embedder_of(store: VectorStore) -> Embedder:
    """The current tenant's embedder for a store that came with its space.

    Raises:
        SpaceChanged: the model is served at another version.
        AtriumError: the tenant may not use it any more.
    """
    embedder = embedder_for(store.embedding_model)
    if embedder.space != store.space.name:
        raise SpaceChanged(store.space.name)
    return embedder
