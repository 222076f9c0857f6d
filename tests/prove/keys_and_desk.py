"""Promise 15: keys, and the admin."""

from tests.prove import admin_desk, secret_keys
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict


def prove(ground: Ground) -> Verdict:
    """Both halves."""
    halves = [secret_keys.prove(ground), admin_desk.prove(ground)]
    return Verdict("; ".join(half.figures for half in halves), [text for half in halves for text in half.violations])
