"""Promise 13: what comes in from outside, as documents and as addresses."""

from tests.prove import documents, urls
from tests.prove.ground import Ground
from tests.prove.verdict import Verdict


def prove(ground: Ground) -> Verdict:
    """Both halves."""
    halves = [urls.prove(ground), documents.prove(ground)]
    return Verdict("; ".join(half.figures for half in halves), [text for half in halves for text in half.violations])
