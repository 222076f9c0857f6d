"""How well the screens do on a small labelled set; `make eval-safety` prints the figures."""

from collections.abc import Iterator

import pytest

from inference.safety.compiled import compiled
from inference.safety.policy import SafetySettings

from .labelled import LABELLED

#: screen → the least (precision, recall) that a change may leave.
LEAST = {
    "prompt_injection": (0.95, 0.75),
    "secrets": (0.95, 0.80),
    "malicious_code": (0.90, 0.85),
    "profanity": (0.95, 0.70),
    "personal_data": (0.90, 0.70),
}


def figures(screen: str) -> tuple[float, float, list[str], list[str]]:
    """Precision, recall, what was missed, what was found though it is none."""
    policy = compiled(SafetySettings.model_validate({"input": {screen: {"action": "flag"}}}))
    looks = policy.input[0].screen
    positives, negatives = LABELLED[screen]
    missed = [text for text in positives if not looks.finds(text)]
    wrong = [text for text in negatives if looks.finds(text)]
    found = len(positives) - len(missed)
    return found / (found + len(wrong)), found / len(positives), missed, wrong


def report() -> Iterator[str]:
    """A line for each screen, and under it what it got wrong."""
    for screen in LEAST:
        precision, recall, missed, wrong = figures(screen)
        positives, negatives = map(len, LABELLED[screen])
        yield f"{screen:17} precision {precision:.2f}  recall {recall:.2f}  of {positives} texts with and {negatives} without"
        yield from (f"    missed: {text!r}" for text in missed)
        yield from (f"    found:  {text!r}" for text in wrong)


@pytest.mark.parametrize("screen", LEAST)
def test_precision_and_recall_do_not_fall(screen: str) -> None:
    precision, recall, missed, wrong = figures(screen)
    assert (precision, recall) >= LEAST[screen] and recall >= LEAST[screen][1], (precision, recall, missed, wrong)
