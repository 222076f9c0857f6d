"""A new version of a file in the place of the old: the old one answers until the new one is completed, and in the
transaction that completes it the old one's chunks vanish. A version that fails leaves the old one where it is.

Only passages that the old version does not have are embedded and paid for (`ingestion`).
"""

from tenants.audit import SYSTEM

from .deletion import delete_if_replaced
from .models import VectorStoreFile
from .removal import IN_PROGRESS, cancel, remove_attachment


def take_over(attachment: VectorStoreFile) -> None:
    """A completed attachment takes the place of what it replaces, and of what that was to replace; in the transaction
    that completes it, its store locked.

    Of other versions on their way to the same place the newer ones replace this one now, the older ones are cancelled.
    """
    replaced = _line(attachment)
    if not replaced:
        return
    ids = [row.id for row in replaced]
    rivals = VectorStoreFile.objects.filter(replaces_id__in=ids).exclude(id__in=[attachment.id, *ids])
    rivals.filter(id__gt=attachment.id).update(replaces_id=attachment.id)
    cancel(rivals.filter(id__lt=attachment.id, state__in=IN_PROGRESS).select_for_update())
    VectorStoreFile.objects.filter(id=attachment.id).update(replaces_id=None)
    for row in replaced:
        remove_attachment(row)
    for file_id in {row.file_id for row in replaced}:
        delete_if_replaced(file_id, by=SYSTEM)


def _line(attachment: VectorStoreFile) -> list[VectorStoreFile]:
    """What an attachment replaces, what that replaces, and so on."""
    seen, found = {attachment.id}, []
    following = attachment.replaces_id
    while following is not None and following not in seen:
        row = VectorStoreFile.objects.get(id=following)
        seen.add(row.id)
        found.append(row)
        following = row.replaces_id
    return found
