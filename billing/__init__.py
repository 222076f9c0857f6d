"""How much: plans, prices, limits, budgets, the ledger and its reports. Takes plain values, knows no caller."""
