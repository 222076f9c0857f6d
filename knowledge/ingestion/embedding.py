"""Passages to vectors, in batches of like length, with a look at the lease between two of them."""

from collections.abc import Sequence

import numpy as np

from ..models import VectorStoreFile
from ..ports import Embedder
from .leases import Lease
from .progress import CHUNKED, EMBEDDED, Progress

_EMBEDDED_AT_ONCE = 32  # passages between two looks at the lease: some two seconds of the embedded model
State = VectorStoreFile.State


def embed(texts: Sequence[str], embedder: Embedder, lease: Lease, progress: Progress) -> np.ndarray:
    """One unit vector for each text, embedded in batches of like length, so that little is padding."""
    vectors = np.empty((len(texts), embedder.dimensions), np.float32)
    order = sorted(range(len(texts)), key=lambda index: -len(texts[index]))
    for start in range(0, len(order), _EMBEDDED_AT_ONCE):
        lease.check()
        batch = order[start : start + _EMBEDDED_AT_ONCE]
        vectors[batch] = embedder.embed([texts[index] for index in batch])
        share = (start + len(batch)) / len(order)
        progress.reach(State.EMBEDDING, int(CHUNKED + (EMBEDDED - CHUNKED) * share))
    return unit(vectors)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1 (a zero row stays zero), so that their inner product is the cosine."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)
