"""Personal data, by the recognisers that redact documents (`knowledge.preparation.recognisers`): e-mail addresses, phone,
card, account and national numbers, by form and checksum.

It sees no names, postal addresses or dates of birth; see `knowledge.preparation` for the rest of what it cannot do. In a
stream it holds back the last two words, and from a number on until the text has gone on for 32 characters without
digits; at most 384 characters.
"""

import re
from collections.abc import Sequence

from knowledge.preparation.redaction import finds_of
from knowledge.preparation.settings import Redaction

from .base import Find, Hold

#: The longest address of e-mail, and a run of card numbers with what stands between them.
WINDOW = 384
#: A word that says what a number is may follow it at this distance, a number's next digits at a shorter one.
_AFTER = 32
#: Every kind has one of these; most sentences have none.
_SIGN = re.compile(r"[\d@\uff20:]|[0-9A-Fa-f]{2}-[0-9A-Fa-f]{2}-")


class PersonalDataScreen:
    """Finds personal data of some kinds."""

    window = WINDOW

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction

    def finds(self, text: str) -> Sequence[Find]:
        """As a store's preparation finds it: in order, without overlaps."""
        if not _SIGN.search(text):
            return ()
        return [Find(find.start, find.end, find.entity) for find in finds_of(text, self._redaction)]

    def settled(self, text: str) -> int:
        """All but the last two words, and a number that may go on."""
        held = Hold(text, WINDOW)
        held.hold(_two_words_before(text, len(text), held.least))
        place = len(text)
        after = 0
        while place > held.least and after <= _AFTER:
            place -= 1
            if text[place].isdigit():
                held.hold(_two_words_before(text, place, held.least))
                after = 0
            else:
                after += 1
        return held.start


def _two_words_before(text: str, end: int, least: int) -> int:
    """Where the word before the one that holds `end` begins."""
    place = end
    for _ in range(2):
        while place > least and text[place - 1].isspace():
            place -= 1
        while place > least and not text[place - 1].isspace():
            place -= 1
    return place
