"""What has limits: the tenant, each of its keys, each of its end users."""

from dataclasses import dataclass
from hashlib import blake2b
from uuid import UUID


@dataclass(frozen=True)
class Rates:
    """Limits of one level; 0 means none."""

    requests_per_minute: int
    tokens_per_minute: int
    concurrent_calls: int

    def __bool__(self) -> bool:
        return bool(self.requests_per_minute or self.tokens_per_minute or self.concurrent_calls)


@dataclass(frozen=True)
class Level:
    """Something with limits, by what it is (`key`, `tenant`, `user`) and its id."""

    name: str
    id: UUID
    rates: Rates


def user_level(end_user: str, rates: Rates) -> Level:
    """An end user's level. Redis is shown a digest, not how the tenant names its people."""
    digest = blake2b(end_user.encode("utf-8", "surrogatepass"), digest_size=16).digest()
    return Level("user", UUID(bytes=digest), rates)
