"""What is left of deleted files and stores, and the content of expired stores, removed in bounded steps.

A step is one short transaction of some thousand rows; a unit that is not through goes to the end of its queue, so that
a tenant who deletes a million chunks delays nobody. Each step can run twice: it removes what it finds.
"""

import logging
from datetime import timedelta

from django.db import connection

from tenants import work
from tenants.leases import lease_time
from tenants.scope import tenant_scope
from tenants.work import PURGING, Claim

from . import storage
from .models import Document, File, VectorStore
from .removal import remove_everywhere

logger = logging.getLogger(__name__)
#: Chunks (or rows of the vocabulary) that a step removes: measured, 0.1 to 0.3 s with their vectors and terms.
CHUNKS_AT_ONCE = 2000
_BYTES_AGAIN = timedelta(seconds=30)


def claim_next(*, worker: str) -> Claim | None:
    """The next thing to purge, by fairness between tenants."""
    return work.claim(PURGING, worker=worker, lease=lease_time())


def purge(claim: Claim) -> bool:
    """One step; True where another is to follow."""
    with tenant_scope():
        file = File.all_rows.filter(id=claim.id).first()
    if file is not None:
        return _purge_file(claim, file)
    return _purge_store(claim)


def recover(claim: Claim) -> None:
    """A step whose worker died left nothing half done: again."""
    work.retry(claim, delay=timedelta(), reason="the worker died")


def _purge_file(claim: Claim, file: File) -> bool:
    """Remove a file's bytes, and then the row that remembers them."""
    try:
        storage.delete(file.stored_id)
    except storage.StorageUnavailable as error:
        with tenant_scope():
            work.retry(claim, delay=_BYTES_AGAIN, reason=error.message)
        return False
    with tenant_scope():
        remove_everywhere(file)  # what was attached in the moment of its deletion
        Document.objects.filter(file_id=file.id).delete()  # so what a run kept of its text
        File.all_rows.filter(replaced_by_id=file.id).update(replaced_by_id=None)
        rows = File.all_rows.filter(id=file.id)
        rows._raw_delete(rows.db)
        work.finish(claim)
    return False


def _purge_store(claim: Claim) -> bool:
    with tenant_scope() as tenant_id:
        store = VectorStore.all_rows.select_for_update(no_key=True).filter(id=claim.id).first()
        with connection.cursor() as cursor:
            cursor.execute("SELECT purge_store(%s, %s, %s)", [tenant_id, claim.id, CHUNKS_AT_ONCE])
            [done] = cursor.fetchone()
        if done or store is None:
            work.finish(claim)
            return False
        return work.retry(claim, delay=timedelta(), reason="")
