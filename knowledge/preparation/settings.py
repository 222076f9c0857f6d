"""A store's `preparation`, said when it is made and not changed after: what is in the store was prepared by it.

    {"pii": {"entities": "all" | ["EMAIL_ADDRESS", …], "phone_regions": ["US", "GB", "DE", "FR"]}}

It is stored with "all" spelled out, so that a store goes on as it began.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

import phonenumbers

from tenants.errors import InvalidRequest

from .recognisers import DEFAULT_REGIONS, ENTITIES

#: What is found today. Raised when recognisers change, so that texts prepared before are told from those after.
VERSION = 1
MAX_REGIONS = 10


@dataclass(frozen=True)
class Redaction:
    """Which kinds are replaced, and where national phone numbers are from."""

    entities: frozenset[str]
    phone_regions: tuple[str, ...]


def check_preparation(value: Any) -> dict[str, Any]:
    """`value` as a store's preparation; {} where there is none.

    Raises:
        InvalidRequest: naming what is wrong.
    """
    if value is None or value == {}:
        return {}
    if not isinstance(value, dict) or set(value) != {"pii"} or not isinstance(value["pii"], dict):
        raise InvalidRequest("Invalid 'preparation': must be {\"pii\": {…}}.", param="preparation")
    pii = value["pii"]
    if unknown := set(pii) - {"entities", "phone_regions"}:
        names = ", ".join(sorted(map(str, unknown)))[:200]
        raise InvalidRequest(f"Invalid 'preparation.pii': unknown members: {names}.", param="preparation.pii")
    return {"pii": {"entities": _entities(pii.get("entities")), "phone_regions": _regions(pii.get("phone_regions"))}}


def _entities(value: Any) -> list[str]:
    param = "preparation.pii.entities"
    if value == "all":
        return list(ENTITIES)
    if not isinstance(value, list) or not value or not all(isinstance(name, str) for name in value):
        raise InvalidRequest(f"Invalid '{param}': must be 'all' or a list of kinds.", param=param)
    if set(value) - set(ENTITIES):
        raise InvalidRequest(f"Invalid '{param}': kinds are {', '.join(ENTITIES)}.", param=param)
    return sorted(set(value))


def _regions(value: Any) -> list[str]:
    param = "preparation.pii.phone_regions"
    if value is None:
        return list(DEFAULT_REGIONS)
    known = phonenumbers.SUPPORTED_REGIONS
    if not isinstance(value, list) or len(value) > MAX_REGIONS or not all(isinstance(name, str) for name in value):
        raise InvalidRequest(f"Invalid '{param}': must be a list of at most {MAX_REGIONS} regions.", param=param)
    if set(value) - set(known):
        raise InvalidRequest(f"Invalid '{param}': regions are ISO 3166 codes such as US, GB, DE.", param=param)
    return list(dict.fromkeys(value))


def redaction_of(preparation: Mapping[str, Any]) -> Redaction | None:
    """What a stored preparation asks for; None where it asks for nothing."""
    if not preparation:
        return None
    pii = preparation["pii"]
    return Redaction(frozenset(pii["entities"]), tuple(pii["phone_regions"]))


def name_of(preparation: Mapping[str, Any]) -> str:
    """Equal names, equal texts; '' for none. At most 64 characters."""
    redaction = redaction_of(preparation)
    if redaction is None:
        return ""
    said = " ".join([*sorted(redaction.entities), "|", *redaction.phone_regions])
    return f"pii{VERSION}-{sha256(said.encode()).hexdigest()[:32]}"
