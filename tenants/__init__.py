"""Who: tenants, members and roles, API keys; the scope and the row security that keep tenants apart."""
