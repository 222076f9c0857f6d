"""How much: plans, prices, budgets, reservations and the append-only ledger.

Amounts are exact decimals of one currency; a price is per `per` units of its meter. Ledger rows carry opaque ids and
no foreign keys to rows that can be erased.
"""

from .allowances import AllowanceBase, PlanAllowance, TenantAllowance
from .bills import BillCorrection, BillLine, ProviderBill, SkuMapping
from .budgets import Budget, BudgetAccount, BudgetAlert, TokenAccount
from .columns import money
from .counts import UnitCounts
from .faults import LedgerFault
from .ledger import UsageRecord
from .limits import Limit, LimitOverride, QuotaUse
from .meter_events import MeterEvent
from .meters import Meter
from .plans import Plan, Subscription
from .prices import BookPrice, Entry, Price, PriceBase, ProviderPrice, TenantPrice
from .reports import Report, ReportSchedule
from .reservations import Reservation
from .rollups import LedgerSum, ModelDay, RollUpMark, UsageDay, UsageHour, UsageSum, UserDay
from .statements import CreditNote, Statement, StatementLine
from .variance import Variance, VarianceAccount, VarianceAlert

__all__ = [
    "AllowanceBase",
    "BillCorrection",
    "BillLine",
    "BookPrice",
    "Budget",
    "BudgetAccount",
    "BudgetAlert",
    "CreditNote",
    "Entry",
    "LedgerFault",
    "LedgerSum",
    "Limit",
    "LimitOverride",
    "Meter",
    "MeterEvent",
    "ModelDay",
    "Plan",
    "PlanAllowance",
    "Price",
    "PriceBase",
    "ProviderBill",
    "ProviderPrice",
    "QuotaUse",
    "Report",
    "ReportSchedule",
    "Reservation",
    "RollUpMark",
    "SkuMapping",
    "Statement",
    "StatementLine",
    "Subscription",
    "TenantAllowance",
    "TenantPrice",
    "TokenAccount",
    "UnitCounts",
    "UsageDay",
    "UsageHour",
    "UsageRecord",
    "UsageSum",
    "UserDay",
    "Variance",
    "VarianceAccount",
    "VarianceAlert",
    "money",
]
