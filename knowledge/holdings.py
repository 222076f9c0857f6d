"""How much the current tenant holds, for the quotas of its plan; call these inside its scope."""

from django.db.models import Sum

from .models import File, VectorStoreFile


def documents_held() -> int:
    """Files in vector stores, each store's own. Those that failed do not count, nor versions that will take another's
    place: that one counts until then.
    """
    out = (VectorStoreFile.State.FAILED, VectorStoreFile.State.CANCELLED)
    return VectorStoreFile.objects.filter(replaces=None, store__deleted_at=None).exclude(state__in=out).count()


def bytes_held() -> int:
    """Of all files that are not deleted. A sum over them: some 80 ms for a million, asked where a plan limits it."""
    return File.objects.aggregate(held=Sum("bytes"))["held"] or 0
