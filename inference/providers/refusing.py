"""Refusing, before anything is sent, what a provider cannot do and what would change the answer."""

from typing import Any

from .base import ProviderError


def cannot(server: str, what: str, param: str) -> ProviderError:
    """400, in words that name the server and the parameter."""
    return ProviderError(
        f"This model is served by {server}, which {what}.",
        code="unsupported_parameter", status=400, temporary=False, param=param,
    )  # fmt: skip


def refuse_unknown(body: dict[str, Any], server: str, *names: str) -> None:
    """Refuse several choices, and each of `names` that is asked for.

    Raises:
        ProviderError: see `cannot`.
    """
    if (body.get("n") or 1) > 1:
        raise cannot(server, "gives one choice a call; ask again for another", "n")
    for name in names:
        if body.get(name):
            raise cannot(server, f"does not know '{name}'", name)
