"""Passages to vectors of length 1, with a look at the lease between two calls of the model."""

from collections.abc import Sequence

import numpy as np

from tenants.leases import Lease

from ..ports import Embedder


def embed(texts: Sequence[str], embedder: Embedder, lease: Lease) -> np.ndarray:
    """One unit vector for each text, float32."""
    vectors = np.empty((len(texts), embedder.dimensions), np.float32)
    for start in range(0, len(texts), embedder.texts_at_once):
        lease.check()
        vectors[start : start + embedder.texts_at_once] = embedder.embed(texts[start : start + embedder.texts_at_once])
    return unit(vectors)


def unit(vectors: np.ndarray) -> np.ndarray:
    """Rows scaled to length 1 (a zero row stays zero), so that their inner product is the cosine."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors / np.maximum(lengths, 1e-12)
