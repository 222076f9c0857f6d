"""`make eval-safety`: how well the screens do on the labelled set, and what they cost."""

import time

from inference.safety.compiled import compiled
from inference.safety.policy import SafetySettings
from inference.safety.text import ActiveScreen, ScreenedText

from .test_labelled import LEAST, report

#: Prose with a number now and then.
_PROSE = (
    "The harbour master of Ny Havn keeps the register of berths, which was begun in 1871. Boats of up to 14 metres lie on "
    "the northern quay; larger ones ask for a place two days before they arrive. In winter the ice is broken at noon, and "
    "whoever wants to leave then gives notice by telephone or at the office, where tea is served. "
)
_WHOLE, _STREAMED, _PIECE = 1_000_000, 20_000, 4


def _screens() -> dict[str, list[ActiveScreen]]:
    names = (*LEAST, "deny_list")
    terms = [f"project {number:05}" for number in range(5_000)]
    policy = compiled(
        SafetySettings.model_validate({"input": {name: {"action": "mask"} for name in names}, "deny_list": terms})
    )
    each = {active.name: [active] for active in policy.input}
    streams = [active for active in policy.input if active.name != "prompt_injection"]
    return {**each, "all of output": streams}


def _seconds(screens: list[ActiveScreen], text: str, piece: int) -> float:
    passing = ScreenedText(screens, lambda hit: None)
    started = time.process_time()
    for start in range(0, len(text), piece):
        passing.take(text[start : start + piece])
    passing.finish()
    return time.process_time() - started


def timings() -> list[str]:
    """Milliseconds for 1,000 characters, whole and in pieces of four as a stream."""
    whole, streamed = (_PROSE * (size // len(_PROSE) + 1) for size in (_WHOLE, _STREAMED))
    lines = []
    for name, screens in _screens().items():
        at_once = _seconds(screens, whole, len(whole)) / len(whole) * 1e6
        line = f"{name:17} {at_once:7.3f} ms whole"
        if name != "prompt_injection":
            line += f"  {_seconds(screens, streamed, _PIECE) / len(streamed) * 1e6:7.2f} ms streamed"
        lines.append(line)
    return lines


if __name__ == "__main__":
    print("\n".join(report()))
    print("\nfor 1,000 characters of prose:")
    print("\n".join(timings()))
