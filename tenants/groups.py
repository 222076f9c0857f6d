"""Access groups: names that a tenant gives to circles of its readers, such as `board` or `Sales EMEA`.

A document may be kept to some groups; a caller finds it that is in one of them. The caller's groups come from its API
key (`ApiKey.groups`) or from a signed end-user token (`tenants.end_users`), never from the body of a request. Names
are compared character by character, case included: what differs in any way is another group, so doubt shuts.
"""

from typing import Any

from .errors import InvalidRequest

MAX_GROUPS, MAX_NAME_LENGTH = 100, 128


def is_group(name: Any) -> bool:
    """Whether `name` can be a group's: 1 to 128 printable characters without space around them."""
    return isinstance(name, str) and 0 < len(name) <= MAX_NAME_LENGTH and name.isprintable() and name == name.strip()


def check_groups(value: Any, *, param: str) -> list[str]:
    """`value` as groups: each once, in order of name.

    Raises:
        InvalidRequest: not a list, more than 100, or a name that cannot be one.
    """
    if not isinstance(value, list | tuple | set | frozenset) or len(value) > MAX_GROUPS:
        raise InvalidRequest(f"Invalid '{param}': must be a list of at most {MAX_GROUPS} groups.", param=param)
    if not all(is_group(name) for name in value):
        raise InvalidRequest(
            f"Invalid '{param}': a group is 1 to {MAX_NAME_LENGTH} printable characters without space around them.",
            param=param,
        )
    return sorted(set(value))
