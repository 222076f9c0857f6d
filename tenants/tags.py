"""Allocation tags: names with values by which spending is told apart, and limited.

A key has tags of its own, which whoever manages keys sets. A call adds those members of its `metadata` that the tenant
has activated. Where both name the same, the key's stands: a client cannot talk its way out of a budget on its key's tag.
What a call was tagged with stays with it; a change holds from the next call on (`API_KEY_CACHE_SECONDS`).
"""

import re
from collections.abc import Iterable, Mapping
from uuid import UUID

from .api_keys import Caller
from .audit import Actor, record
from .errors import InvalidRequest, NotFound
from .models import ApiKey, Tenant
from .scope import tenant_scope

#: Of a key, and of the names that a tenant activates.
MOST_TAGS = 16
LONGEST_VALUE = 256
_NAME = re.compile(r"[A-Za-z0-9_.:/=+@-][A-Za-z0-9_.:/=+@ -]{0,63}")


def check_tag_name(name: object, *, param: str) -> str:
    """A tag's name: 1 to 64 letters, digits, spaces and `_.:/=+@-`.

    Raises:
        InvalidRequest: it is none.
    """
    if not isinstance(name, str) or not _NAME.fullmatch(name) or name != name.strip():
        raise InvalidRequest(
            f"Invalid '{param}': a tag's name has 1 to 64 letters, digits, spaces and any of _.:/=+@-", param=param
        )
    return name


def check_tags(tags: Mapping[str, object], *, param: str = "tags") -> dict[str, str]:
    """The tags of a key, by name.

    Raises:
        InvalidRequest: too many, or one that cannot be.
    """
    if len(tags) > MOST_TAGS:
        raise InvalidRequest(f"Invalid '{param}': at most {MOST_TAGS} tags.", param=param)
    for name, value in tags.items():
        check_tag_name(name, param=param)
        check_tag_value(value, param=param)
    return {name: str(tags[name]) for name in sorted(tags)}


def check_tag_value(value: object, *, param: str) -> str:
    """A tag's value: 1 to 256 printable characters.

    Raises:
        InvalidRequest: it is none.
    """
    if not isinstance(value, str) or not 0 < len(value) <= LONGEST_VALUE or not value.isprintable():
        raise InvalidRequest(
            f"Invalid '{param}': a tag's value has 1 to {LONGEST_VALUE} printable characters.", param=param
        )
    return value


def set_key_tags(*, key_id: UUID, tags: Mapping[str, object], by: Actor) -> ApiKey:
    """Replace the tags of a key of the current tenant.

    Raises:
        InvalidRequest: as `check_tags`.
        NotFound: no such key in this tenant.
    """
    checked = check_tags(tags)
    with tenant_scope():
        key = ApiKey.objects.select_for_update().filter(id=key_id).first()
        if key is None:
            raise NotFound("No such API key.")
        if key.tags != checked:
            record(by=by, action="api_key.tagged", target=key, changes={"tags": [key.tags, checked]})
            key.tags = checked
            key.save(update_fields=["tags"])
    return key


def allocation_tags() -> list[str]:
    """The names of `metadata` that the current tenant has activated."""
    with tenant_scope() as tenant_id:
        return Tenant.objects.values_list("allocation_tags", flat=True).get(id=tenant_id)


def set_allocation_tags(*, names: Iterable[str], by: Actor) -> list[str]:
    """Replace the names of `metadata` that become tags of the current tenant's calls; returns them, sorted.

    Raises:
        InvalidRequest: too many, or one that no tag can have.
    """
    checked = sorted({check_tag_name(name, param="names") for name in names})
    if len(checked) > MOST_TAGS:
        raise InvalidRequest(f"Invalid 'names': at most {MOST_TAGS} tags.", param="names")
    with tenant_scope() as tenant_id:
        tenant = Tenant.objects.select_for_update().get(id=tenant_id)
        if tenant.allocation_tags != checked:
            changes = {"names": [", ".join(tenant.allocation_tags), ", ".join(checked)]}
            record(by=by, action="allocation_tags.set", target=tenant, changes=changes)
            tenant.allocation_tags = checked
            tenant.save(update_fields=["allocation_tags"])
    return checked


def tags_of_call(caller: Caller, metadata: Mapping[str, str] | None) -> dict[str, str]:
    """The tags of a call: its key's, and those of its metadata that the tenant activated.

    No call is refused for the sake of a report: a value that no tag can have is cut, or left out where it is empty.
    """
    if not caller.allocation_tags or not metadata:
        return dict(caller.tags)
    named = {name: _fitting(metadata[name]) for name in caller.allocation_tags if name in metadata}
    return {**{name: value for name, value in named.items() if value}, **dict(caller.tags)}


def _fitting(value: str) -> str:
    text = value if value.isprintable() else "".join(char if char.isprintable() else " " for char in value)
    return text[:LONGEST_VALUE]
