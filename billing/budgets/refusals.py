"""What a call is answered that a budget or a token quota does not allow: which, its limit, what is used, until when.

What is used up is not worth another try before it resets, and the SDK is told so; what is only held by calls under way
is free again when they end.
"""

import json
from decimal import Decimal
from typing import Any

from django.db import DatabaseError

from tenants.errors import AtriumError

from ..amounts import plain


class BudgetExhausted(AtriumError):
    """The budget is spent: trying again does not help before it resets, so the SDK is told not to."""

    status = 429
    type = "insufficient_quota"
    code = "insufficient_quota"

    def __init__(self, detail: dict[str, Any]) -> None:
        resets = f"It resets on {detail['resets_at']}; ask" if detail["resets_at"] else "It does not reset; ask"
        super().__init__(
            f"Budget '{detail['budget']}' is exhausted: {detail['spent']} of {detail['limit']} {detail['currency']} spent, "
            f"this call needs up to {detail['needed']}. {resets} an admin to raise it.",
            data={"budget": detail},
            headers={"x-should-retry": "false"},
        )


class BudgetHeld(AtriumError):
    """Not spent, but held by calls under way; what they leave over is free again when they end."""

    status = 429
    type = "rate_limit_error"
    code = "budget_held"

    def __init__(self, detail: dict[str, Any]) -> None:
        super().__init__(
            f"Budget '{detail['budget']}' has {detail['held']} of {detail['limit']} {detail['currency']} held by calls "
            f"under way. Try again when they end, or ask for fewer max_tokens.",
            data={"budget": detail},
            headers={"retry-after": "1"},
        )


class QuotaUsedUp(BudgetExhausted):
    """The month's tokens of the key or the tenant are used."""

    def __init__(self, detail: dict[str, Any]) -> None:
        AtriumError.__init__(
            self,
            f"The token quota of this {detail['quota']} is used up: {detail['used']} of {detail['limit']} tokens used this "
            f"month, this call needs up to {detail['needed']}. It resets on {detail['resets_at']}; ask an admin to raise it.",
            data={"quota": detail},
            headers={"x-should-retry": "false"},
        )


class QuotaHeld(BudgetHeld):
    """The month's tokens of the key or the tenant are held by calls under way."""

    code = "quota_held"

    def __init__(self, detail: dict[str, Any]) -> None:
        AtriumError.__init__(
            self,
            f"The token quota of this {detail['quota']} has {detail['held']} of {detail['limit']} tokens held by calls under "
            f"way. Try again when they end, or ask for fewer max_tokens.",
            data={"quota": detail},
            headers={"retry-after": "1"},
        )


def budget_error(error: DatabaseError) -> AtriumError | None:
    """The refusal inside a database error of `reserve_spend`; None where it is another error."""
    cause = error.__cause__
    if getattr(cause, "sqlstate", None) != "AT429":
        return None
    return budget_refusal(cause.diag.message_detail)  # type: ignore[union-attr]


def budget_refusal(detail_json: str) -> AtriumError:
    """The refusal that `reserve_spend` states in the detail of its AT429."""
    detail = json.loads(detail_json, parse_float=Decimal, parse_int=Decimal)
    if "quota" in detail:
        used_up = detail["used"] + detail["needed"] > detail["limit"]
        detail = {name: int(value) if isinstance(value, Decimal) else value for name, value in detail.items()}
        return QuotaUsedUp(detail) if used_up else QuotaHeld(detail)
    spent_out = detail["spent"] + detail["needed"] > detail["limit"]
    detail = {name: plain(value) if isinstance(value, Decimal) else value for name, value in detail.items()}
    return BudgetExhausted(detail) if spent_out else BudgetHeld(detail)
