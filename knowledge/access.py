"""Who may find a store's file: every caller of the tenant, or only those in one of its `allowed_groups`.

What is found (search, `file_search`, the parsed text of a file) is filtered by the caller's groups (`tenants.groups`)
for everybody. What is managed (listing, describing, detaching, the uploaded bytes under `/v1/files`) belongs to the
tenant's own systems, whose keys carry the scopes for it: they see every file. A caller that is limited to groups
manages within them only: of the rest it does not learn, under a store or under `/v1/files`.

Known and accepted: the lexical ranking's term statistics are the store's, so they count what is kept from a caller
too; they move scores, and name nothing. So do the numbers of files and bytes that a store or a batch shows.
"""

from collections.abc import Collection, Mapping
from enum import Enum
from typing import Any

from django.db.models import Exists, OuterRef, Q

from tenants.groups import check_groups

from .models import VectorStoreFile


class Unchanged(Enum):
    """In the place of a value: leave it as it is."""

    UNCHANGED = "unchanged"


UNCHANGED = Unchanged.UNCHANGED
#: `None`: open to every caller of the tenant. An empty list: open to nobody.
AllowedGroups = list[str] | None
#: A condition on the store file `f`; its parameter is the list of the caller's groups.
ALLOWED = "(f.allowed_groups IS NULL OR f.allowed_groups && %s::text[])"


def allowed_groups_in(body: Mapping[str, Any]) -> AllowedGroups | Unchanged:
    """The `allowed_groups` of a request's body: a list, null for everybody, unchanged where it is missing.

    Raises:
        InvalidRequest: neither a list of groups nor null.
    """
    return check_allowed_groups(body["allowed_groups"]) if "allowed_groups" in body else UNCHANGED


def check_allowed_groups(value: Any) -> AllowedGroups:
    """`value` as `allowed_groups`.

    Raises:
        InvalidRequest: neither a list of groups nor None.
    """
    return None if value is None else check_groups(value, param="allowed_groups")


def check_change(value: Any) -> AllowedGroups | Unchanged:
    """`value` as `check_allowed_groups` has it, or unchanged."""
    return UNCHANGED if value is UNCHANGED else check_allowed_groups(value)


def open_to(groups: Collection[str]) -> Q:
    """The store files that a caller in `groups` finds."""
    return Q(allowed_groups=None) | Q(allowed_groups__overlap=sorted(groups))


def known_to(sight: Collection[str] | None) -> Q:
    """The store files that a caller may manage; None: it is not limited to groups."""
    return Q() if sight is None else open_to(sight)


def files_known_to(sight: Collection[str] | None) -> Q:
    """The files that a caller may manage: a limited one none that any store keeps from it, nor what was made by others
    with groups that it lacks."""
    if sight is None:
        return Q()
    made = Q(made_with=None) | Q(made_with__contained_by=sorted(sight))
    return made & Q(~Exists(VectorStoreFile.objects.filter(~open_to(sight), file=OuterRef("pk"))))
