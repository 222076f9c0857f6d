"""What a request carries from one step of its way to a later one, each with its type: the places are named here or
beside what puts something there, so that nobody hangs an attribute on a request that a type checker knows nothing of."""

from dataclasses import dataclass
from typing import Generic, TypeVar

from django.http import HttpRequest

_Thing = TypeVar("_Thing")


@dataclass(frozen=True)
class Carried(Generic[_Thing]):
    """A place on every request, by the name under which templates find it."""

    name: str

    def put(self, request: HttpRequest, thing: _Thing) -> None:
        """Have the request carry `thing`."""
        setattr(request, self.name, thing)

    def by(self, request: HttpRequest) -> _Thing | None:
        """What the request carries there; None: nothing."""
        return getattr(request, self.name, None)


#: What the log says in place of the path, where that holds a secret.
PATH_TO_LOG = Carried[str]("path_to_log")
