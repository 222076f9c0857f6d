"""`local-extractive`: answers with the best-supported sentences of the retrieved passages, cited. No weights of its own.

Support is the cosine of question and sentence under the embedded model, plus the share of the question's words that
the sentence holds. A question that no sentence supports is answered so. It does not write, translate or reason.
"""

import re
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..threads import in_thread
from .base import Chunk, Completion, Prompt, Usage
from .sentences import sentences

if TYPE_CHECKING:
    from knowledge.retrieval import Passage

NOT_SUPPORTED = "The documents do not answer this question."
NOT_GROUNDED = (
    "I only answer from documents. Add a file_search tool with vector_store_ids, or choose a model that writes freely."
)
#: Below this cosine a sentence speaks of something else; found on questions about texts of other subjects.
_MIN_COSINE = 0.38
_MIN_SUPPORT = 0.40
_MAX_SENTENCES = 3
_MOST_BY_WORDS = 24
#: A sentence with less than this share of the best one's support adds noise to the answer.
_NEAR_BEST = 0.85
_WORD = re.compile(r"\w+")
_STOP = frozenset(
    [
        "a",
        "an",
        "and",
        "are",
        "as",
        "at",
        "be",
        "by",
        "can",
        "do",
        "does",
        "for",
        "from",
        "has",
        "have",
        "how",
        "i",
        "if",
        "in",
        "is",
        "it",
        "its",
        "may",
        "of",
        "on",
        "or",
        "should",
        "so",
        "than",
        "that",
        "the",
        "their",
        "them",
        "there",
        "these",
        "they",
        "this",
        "to",
        "was",
        "were",
        "what",
        "when",
        "where",
        "which",
        "who",
        "why",
        "will",
        "with",
        "you",
        "your",
    ]
)


@dataclass(frozen=True)
class _Sentence:
    number: int
    text: str
    words: frozenset[str]


class LocalExtractive:
    """The model that runs inside the worker.

    Args:
        embed: texts → float32 (n, d), L2-normalised.
        count_tokens: for its own usage.
    """

    def __init__(self, *, embed: Callable[[list[str]], np.ndarray], count_tokens: Callable[[str], int]) -> None:
        self._embed = embed
        self._count_tokens = count_tokens

    async def complete(self, prompt: Prompt) -> Completion:
        """The whole answer; it cannot fail upstream, for there is none."""
        text, finish, usage = await in_thread(self._answer, prompt)
        message = {"role": "assistant", "content": text}
        return Completion([{"index": 0, "message": message, "finish_reason": finish}], usage)

    async def stream(self, prompt: Prompt) -> AsyncGenerator[Chunk, None]:
        """The same answer, word by word."""
        text, finish, usage = await in_thread(self._answer, prompt)
        for part in re.findall(r"\S+\s*", text):
            yield Chunk([[{"index": 0, "delta": {"content": part}, "finish_reason": None}]])
        yield Chunk([[{"index": 0, "delta": {}, "finish_reason": finish}]], usage)

    def _answer(self, prompt: Prompt) -> tuple[str, str, Usage]:
        text = _supported(prompt, self._embed) if prompt.grounded else NOT_GROUNDED
        read = prompt.question + "".join(passage.text for passage in prompt.passages)
        kept, finish = _within(text, prompt.max_output_tokens, self._count_tokens)
        return kept, finish, Usage(self._count_tokens(read), self._count_tokens(kept))


def _within(text: str, limit: int, count: Callable[[str], int]) -> tuple[str, str]:
    """`text` cut at a word so that it has at most `limit` tokens."""
    if count(text) <= limit:
        return text, "stop"
    words = text.split(" ")
    while words and count(" ".join(words)) > limit:
        words.pop()
    return " ".join(words), "length"


def _supported(prompt: Prompt, embed: Callable[[list[str]], np.ndarray]) -> str:
    found = _quotable(prompt)
    if not found:
        return NOT_SUPPORTED
    question = _words(prompt.question)
    every, found = found, _promising(found, question, prompt)
    vectors = embed([prompt.question, *(sentence.text for sentence in found)])
    cosine = vectors[1:] @ vectors[0]
    held = np.array([len(question & sentence.words) / max(1, len(question)) for sentence in found])
    support = 0.6 * cosine + 0.4 * held
    best = int(np.argmax(support))
    if cosine[best] < _MIN_COSINE or support[best] < _MIN_SUPPORT:
        return NOT_SUPPORTED
    chosen: list[_Sentence] = []
    for index in np.argsort(-support, kind="stable"):
        if support[index] < _NEAR_BEST * support[best] or len(chosen) == _MAX_SENTENCES:
            break
        whole = _whole(found[index], every)
        if whole not in chosen:
            chosen.append(whole)
    return " ".join(f"{sentence.text} [{sentence.number}]" for sentence in chosen)


def _promising(found: list[_Sentence], question: frozenset[str], prompt: Prompt) -> list[_Sentence]:
    """The sentences worth embedding, which is what an answer's time goes into.

    They hold the most of the question's words, or stand where search found a passage nearest to the question. Where it
    did not look by meaning, all do.
    """
    near = {text for passage in prompt.passages if passage.matched for text in sentences(_matched_text(passage))}
    if not near:
        return found
    by_words = sorted(found, key=lambda sentence: -len(question & sentence.words))[:_MOST_BY_WORDS]
    chosen = {sentence.text for sentence in by_words if question & sentence.words} | near
    return [sentence for sentence in found if sentence.text in chosen]


def _matched_text(passage: "Passage") -> str:
    assert passage.matched is not None  # the caller looked
    return passage.text[max(0, passage.matched.start - passage.start) : passage.matched.end - passage.start]


def _whole(sentence: _Sentence, found: list[_Sentence]) -> _Sentence:
    """The sentence itself, or the one that it is the rest of: passages overlap, and may begin within a sentence."""
    return max((other for other in found if sentence.text in other.text), key=lambda other: len(other.text))


def _quotable(prompt: Prompt) -> list[_Sentence]:
    """The sentences of the passages, each once, with their passage's number."""
    found: dict[str, _Sentence] = {}
    for number, passage in enumerate(prompt.passages, start=1):
        for text in sentences(passage.text):
            words = _words(text)
            if len(words) >= 3 and text not in found:
                found[text] = _Sentence(number, text, words)
    return list(found.values())


def _words(text: str) -> frozenset[str]:
    """Content words, plural s taken off."""
    return frozenset(word.rstrip("s") for word in _WORD.findall(text.lower()) if word not in _STOP and len(word) > 1)
