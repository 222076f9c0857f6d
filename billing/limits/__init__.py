"""Limits: what a tenant, its keys and its end users may do at most.

Requests and tokens a minute and concurrent calls are counted in Redis (`limiter`, `windows`); which of them are in force
says `in_force`, from the plan and its dated overrides (`overrides`). What a tenant may hold or use in a month is counted
in Postgres (`quotas`). Redis is never the authority for money: budgets live in Postgres.
"""

from .answers import RateLimited
from .in_force import Limits, current_share, levels_for, limits_in_force
from .levels import Level, Rates
from .limiter import Admission, Limiter, release_arguments

__all__ = [
    "Admission",
    "Level",
    "Limiter",
    "Limits",
    "RateLimited",
    "Rates",
    "current_share",
    "levels_for",
    "limits_in_force",
    "release_arguments",
]
