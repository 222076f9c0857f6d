"""Accounts: how a person comes in, proves who they are, and leaves. What they may do inside is `tenants.permissions`'."""
