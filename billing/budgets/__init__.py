"""Budgets: limits on what a key, a tag or the whole tenant may spend in a day, a month or in total.

They are set (`setting`), held and charged with each call (`sql/reserving.sql`, `sql/settling.sql`), looked at (`states`,
with a forecast), and warn (`alerts`). A month's tokens are limited beside them (`quotas`).
"""
