"""Webhooks out: what happened in a tenant, told to the addresses that it named.

`emit` writes the outbox in the transaction of the change; a worker (`delivering`) signs and sends, at least once, in no
promised order, again and again for three days. What was sent and what became of it stands in `WebhookDelivery`.
"""

from .outbox import emit

__all__ = ["emit"]
