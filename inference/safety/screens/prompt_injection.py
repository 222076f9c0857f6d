"""Text that speaks to the model over the heads of its operator and its reader, in a message or in a document.

Phrases (English, German, French, Spanish) that tell a model to drop its instructions, to take another role, to show its
prompt or to hide something from its user; marks of chat templates; addresses of a machine ("if you are an AI …"); text in
invisible characters. Two weak signs count where they stand together. These are heuristics: they see what is said in
words that they know. An instruction in other words, another language, an image or a code passes; a text *about* prompt
injection is found like one. What an obedient model may say or do is limited elsewhere (`inference.outbound`, granted
tools). The window is 240 characters.
"""

from collections.abc import Sequence

import regex

from .anchored import AnchoredScreen
from .base import Find
from .phrases import phrases

CATEGORY, HIDDEN = "PROMPT_INJECTION", "HIDDEN_TEXT"
_WEAK = "weak"
#: How far apart two weak signs may stand, in characters.
_NEAR = 400
#: Tags (which spell ASCII invisibly), or a long run of characters of no width: people do not write them.
_HIDDEN = regex.compile("[\U000e0020-\U000e007f]{4,}|[\u200b-\u200d\u2060-\u2064\ufeff]{12,}")


class PromptInjectionScreen:
    """The screen; it reads texts in their normal form, and hidden text as it is."""

    def __init__(self) -> None:
        known = phrases("prompt_injection.toml", category=CATEGORY, weak=_WEAK, whole_words=True)
        self._phrases = AnchoredScreen(list(known), normal=True)
        self.window = self._phrases.window

    def finds(self, text: str) -> Sequence[Find]:
        """What speaks to the model; of weak signs those with another one near."""
        found = self._phrases.finds(text)
        weak = sorted((find for find in found if find.category == _WEAK), key=lambda find: find.start)
        strong = [find for find in found if find.category != _WEAK]
        strong += [
            Find(find.start, find.end, CATEGORY)
            for before, find, after in zip([None, *weak], weak, [*weak[1:], None], strict=False)
            if (before and before.end <= find.start and find.start - before.end <= _NEAR)
            or (after and find.end <= after.start and after.start - find.end <= _NEAR)
        ]
        if not text.isascii():
            strong += [Find(*match.span(), HIDDEN) for match in _HIDDEN.finditer(text)]
        return strong

    def settled(self, text: str) -> int:
        """It is no screen of output, where the model speaks to its reader; nothing is settled before the end."""
        return 0 if text else len(text)
