"""URLs of billing, under /v1."""

from django.urls import path

from .budgets import api as budgets_api
from .exports import api as exports_api
from .exports import platform_api as platform_exports_api
from .limits import api as limits_api
from .prices import api as prices_api
from .reconciliation import api as bills_api
from .statements import api as statements_api
from .statements import margins_api
from .statements import platform_api as platform_statements_api
from .usage_api.views import USAGE_VIEWS, CostsView

urlpatterns = [
    path("budgets", budgets_api.BudgetsView.as_view()),
    path("budgets/<str:budget_id>", budgets_api.BudgetView.as_view()),
    path("budgets/<str:budget_id>/alerts", budgets_api.BudgetAlertsView.as_view()),
    path("limits", limits_api.LimitsView.as_view()),
    path("api_keys/<str:key_id>/limits", limits_api.KeyLimitsView.as_view()),
    path("platform/tenants/<str:tenant_id>/limits", limits_api.TenantLimitsView.as_view()),
    *(path(f"organization/usage/{kind}", view.as_view()) for kind, view in USAGE_VIEWS.items()),
    path("organization/costs", CostsView.as_view()),
    path("platform/prices", prices_api.PricesView.as_view()),
    path("platform/provider_prices", prices_api.ProviderPricesView.as_view()),
    path("platform/allowances", prices_api.AllowancesView.as_view()),
    path("reports", exports_api.ReportsView.as_view()),
    path("reports/<str:report_id>", exports_api.ReportView.as_view()),
    path("report_schedules", exports_api.SchedulesView.as_view()),
    path("report_schedules/<str:schedule_id>", exports_api.ScheduleView.as_view()),
    path("report_files/<str:token>", exports_api.ReportFileView.as_view()),
    path("platform/reports", platform_exports_api.PlatformReportsView.as_view()),
    path("platform/reports/<str:report_id>", platform_exports_api.PlatformReportView.as_view()),
    path("platform/report_schedules", platform_exports_api.PlatformSchedulesView.as_view()),
    path("platform/report_schedules/<str:schedule_id>", platform_exports_api.PlatformScheduleView.as_view()),
    path("statements", statements_api.StatementsView.as_view()),
    path("statements/upcoming", statements_api.UpcomingStatementView.as_view()),
    path("statements/<str:statement_id>", statements_api.StatementView.as_view()),
    path("statements/<str:statement_id>/csv", statements_api.StatementCsvView.as_view()),
    path("credit_notes", statements_api.CreditNotesView.as_view()),
    path("credit_notes/<str:credit_id>", statements_api.CreditNoteView.as_view()),
    path("platform/statements", platform_statements_api.PlatformStatementsView.as_view()),
    path("platform/statements/<str:statement_id>", platform_statements_api.PlatformStatementView.as_view()),
    path("platform/statements/<str:statement_id>/csv", platform_statements_api.PlatformStatementCsvView.as_view()),
    path("platform/margins", margins_api.MarginsView.as_view()),
    path("platform/margins/csv", margins_api.MarginsCsvView.as_view()),
    path("platform/credit_notes", platform_statements_api.PlatformCreditNotesView.as_view()),
    path("platform/bills", bills_api.BillsView.as_view()),
    path("platform/bills/<str:bill_id>", bills_api.BillView.as_view()),
    path("platform/bills/<str:bill_id>/comparison", bills_api.ComparisonView.as_view()),
    path("platform/bills/<str:bill_id>/approve", bills_api.ApprovalView.as_view()),
    path("platform/bills/<str:bill_id>/corrections", bills_api.BillCorrectionsView.as_view()),
    path("platform/sku_mappings", bills_api.MappingsView.as_view()),
    path("platform/sku_mappings/<str:mapping_id>", bills_api.MappingView.as_view()),
]
