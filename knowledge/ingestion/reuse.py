"""Vectors that are there already: a passage whose text did not change is neither embedded nor charged again."""

from collections.abc import Sequence
from uuid import UUID

import numpy as np
from django.db import connection

from tenants.scope import tenant_scope

# The last of a chunk's several vectors is their mean, which is no passage's.
_VECTORS = """
SELECT substr(c.text, e.start - c.start + 1, e."end" - e.start), e.embedding::text
  FROM knowledge_embedding e JOIN knowledge_chunk c ON c.tenant_id = e.tenant_id AND c.id = e.chunk_id
 WHERE e.tenant_id = %s AND e.store_file_id = ANY (%s) AND e.space_id = %s AND e."end" > e.start
   AND (e.passage = 0 OR e.start <> c.start OR e."end" <> c."end")
"""


def reusable_vectors(*, store_files: Sequence[UUID], space_id: UUID) -> dict[str, np.ndarray]:
    """Text of each passage of the current tenant's `store_files` → its vector in the space, float32, of length 1."""
    with tenant_scope() as tenant_id, connection.cursor() as cursor:
        cursor.execute(_VECTORS, [tenant_id, list(store_files), space_id])
        return {text: np.fromstring(vector[1:-1], np.float32, sep=",") for text, vector in cursor.fetchall()}
