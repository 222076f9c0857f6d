"""Standard Webhooks: HMAC-SHA256 over `id.timestamp.body`, by the library that verifies it elsewhere.

https://www.standardwebhooks.com; the `openai` SDK's `client.webhooks.unwrap` verifies the same.
"""

import secrets
from base64 import b64encode
from datetime import datetime

from standardwebhooks.webhooks import Webhook

from .models import WebhookEndpoint

SECRET_PREFIX = "whsec_"


def new_secret() -> str:
    """`whsec_` and 32 random bytes in base64."""
    return SECRET_PREFIX + b64encode(secrets.token_bytes(32)).decode()


def signed_headers(endpoint: WebhookEndpoint, *, message_id: str, body: str, now: datetime) -> dict[str, str]:
    """The three headers of a message that is sent at `now` (UTC); two signatures while a secret is being rotated."""
    secrets_in_use = [endpoint.secret]
    if endpoint.previous_ends_at is not None and endpoint.previous_ends_at > now:
        secrets_in_use.append(endpoint.previous_secret)
    signatures = [Webhook(secret).sign(msg_id=message_id, timestamp=now, data=body) for secret in secrets_in_use]
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }
