"""In which order the deployments of a model are asked."""

import random
from collections.abc import Callable, Sequence

from ..models import DeploymentBase, Model

#: How often `fastest` asks one first that was not measured of late, or any: what is never asked is never known.
_EXPLORE_UNKNOWN, _EXPLORE = 0.2, 0.05
#: Expected milliseconds of a deployment; None: not measured of late.
Speed = Callable[[DeploymentBase], float | None]


def by_weight(rows: Sequence[DeploymentBase]) -> list[DeploymentBase]:
    """A random order in which each place falls to those that are left in proportion to their weights.

    Weighted sampling without replacement (Efraimidis and Spirakis, 2006).
    """
    return sorted(rows, key=lambda row: random.random() ** (1 / row.weight), reverse=True)


def by_speed(rows: Sequence[DeploymentBase], speed: Speed) -> list[DeploymentBase]:
    """The fastest first; now and then another, in case it has become faster."""
    order = by_weight(rows)
    known = {row.pk: ms for row in order if (ms := speed(row)) is not None}
    unknown = [row for row in order if row.pk not in known]
    if not known or random.random() < _EXPLORE:
        return order
    measured = sorted((row for row in order if row.pk in known), key=lambda row: known[row.pk])
    return [*unknown, *measured] if unknown and random.random() < _EXPLORE_UNKNOWN else [*measured, *unknown]


def ordered(rows: Sequence[DeploymentBase], strategy: str, speed: Speed) -> list[DeploymentBase]:
    """`rows` in the order to ask them. Of `least_busy` it is only the order among equals: Redis counts (`scripts.take`)."""
    if len(rows) < 2:
        return list(rows)
    return by_speed(rows, speed) if strategy == Model.Strategy.FASTEST else by_weight(rows)
