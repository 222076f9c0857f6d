"""Until when a vector store lives: so many days after it was last used."""

from datetime import datetime, timedelta

from tenants.errors import AtriumError

from .models import VectorStore


class StoreExpired(AtriumError):
    """The store's time is over: its content is gone, its list of files stays."""

    status = 400
    type = "invalid_request_error"
    code = "vector_store_expired"

    def __init__(self) -> None:
        super().__init__(
            "This vector store has expired. Make a new one with the files that this one still lists.",
            param="vector_store_id",
        )


def expires_at(store: VectorStore) -> datetime | None:
    """When the store expires if nobody uses it; None: never."""
    if store.expires_after_days is None:
        return None
    return store.last_active_at + timedelta(days=store.expires_after_days)


def has_expired(store: VectorStore, now: datetime) -> bool:
    """Whether a store's time is over: its content is gone, or about to be."""
    until = expires_at(store)
    return store.expired_at is not None or (until is not None and until <= now)
