"""`local-extractive`: quotes what supports an answer, cites it, and says so when nothing does."""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from inference.embedding import local_minilm
from inference.providers.base import Chunk, Prompt
from inference.providers.extractive import NOT_GROUNDED, NOT_SUPPORTED, LocalExtractive
from knowledge.retrieval import Passage
from knowledge.retrieval.passages import Span
from tenants.ids import uuid7

MANUAL = (
    "## Care\n\nThe encoder window is cleaned with a dry cloth. Replace the axis seals every 24 months, and every 12 months "
    "near the sea.\n\n- The fan is part FN-12.\n- The clock runs on a lithium cell."
)
HANDBOOK = (
    "# Travel\n\nExpense claims must be submitted within 30 days of the journey. Flights are booked in economy.\n\n"
    "| Region | Allowance a day |\n| --- | --- |\n| Hawaii | 78 euros |\n| Chile | 55 euros |\n"
)


async def all_of(chunks: AsyncIterator[Chunk]) -> list[Chunk]:
    return [chunk async for chunk in chunks]


def passage(text: str) -> Passage:
    return Passage(uuid7(), "a.md", uuid7(), uuid7(), text, 0.9, None, 0, len(text), {})


def count_words(text: str) -> int:
    return len(text.split())


def ask(question: str, *texts: str, limit: int = 500, grounded: bool = True) -> tuple[str, str]:
    """(answer, finish reason) of the model with its real embeddings; tokens are words, to be counted by eye."""
    model = LocalExtractive(embed=local_minilm().embed, count_tokens=count_words)
    prompt = Prompt({}, limit, question, tuple(passage(text) for text in texts), grounded)
    [choice] = asyncio.run(model.complete(prompt)).choices
    return choice["message"]["content"], choice["finish_reason"]


def test_the_sentence_that_answers_is_quoted_alone_with_its_passage() -> None:
    answer = ask("How often are the axis seals replaced?", HANDBOOK, MANUAL)
    assert answer == ("Replace the axis seals every 24 months, and every 12 months near the sea. [2]", "stop")


def test_a_table_row_answers_under_its_columns() -> None:
    answer, _ = ask("What is the daily allowance in Hawaii?", MANUAL, HANDBOOK)
    assert answer == "Region: Hawaii; Allowance a day: 78 euros [2]"


@pytest.mark.parametrize("question", ["Which football club won the cup final?", "How do I bake bread?", "", "?!"])
def test_what_no_sentence_supports_is_said_not_to_be_answered(question: str) -> None:
    assert ask(question, HANDBOOK, MANUAL) == (NOT_SUPPORTED, "stop")


def test_without_passages_nothing_is_supported() -> None:
    assert ask("How often are the axis seals replaced?") == (NOT_SUPPORTED, "stop")


def test_without_a_search_it_says_that_it_answers_from_documents_only() -> None:
    assert ask("How often are the axis seals replaced?", grounded=False) == (NOT_GROUNDED, "stop")


def test_an_answer_is_cut_at_a_word_within_the_limit() -> None:
    answer = ask("How often are the axis seals replaced?", MANUAL, limit=4)
    assert answer == ("Replace the axis seals", "length")


def test_a_sentence_that_overlapping_passages_share_is_quoted_once_and_whole() -> None:
    whole = "Replace the axis seals every 24 months near the sea."
    answer, _ = ask("How often are the axis seals replaced?", "the axis seals every 24 months near the sea.", whole)
    assert answer == f"{whole} [2]"


def test_numbers_in_brackets_are_not_taken_over_as_citations() -> None:
    answer, _ = ask("How often are the axis seals replaced?", "Replace the axis seals every 24 months [7].")
    assert answer == "Replace the axis seals every 24 months. [1]"


def test_sentences_much_weaker_than_the_best_are_left_out_and_at_most_three_are_kept() -> None:
    # One axis for each word, so that support can be worked out: cosine = share = matching words of the question.
    axes = {word: index for index, word in enumerate(["red", "green", "blue", "gold", "other"])}

    def embed(texts: Sequence[str]) -> np.ndarray:
        rows = np.zeros((len(texts), len(axes)))
        for row, text in zip(rows, texts, strict=True):
            for word in re.findall(r"\w+", text.lower()):
                row[axes.get(word, axes["other"])] = 1
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    told = [
        "Red green blue gold.",
        "Red green blue one.",
        "Gold blue green red.",
        "Blue gold red green.",
        "Green red gold blue.",
    ]
    text = " ".join(told)
    prompt = Prompt({}, 99, "red green blue gold", (passage(text),), True)
    answer = asyncio.run(LocalExtractive(embed=embed, count_tokens=count_words).complete(prompt)).choices[0]["message"]
    # "Red green blue one": 3 of 4 words, 0.75 of the best's support, is below 0.85.
    assert answer["content"] == "Red green blue gold. [1] Gold blue green red. [1] Blue gold red green. [1]"


def test_a_stream_is_the_same_answer_word_by_word_with_usage_at_the_end() -> None:
    model = LocalExtractive(embed=local_minilm().embed, count_tokens=count_words)
    prompt = Prompt({}, 500, "Who cleans the encoder window?", (passage(MANUAL),), True)
    whole = asyncio.run(model.complete(prompt))
    chunks = asyncio.run(all_of(model.stream(prompt)))
    parts = [choice for chunk in chunks for choices in chunk.choices for choice in choices]
    text = "".join(part["delta"].get("content", "") for part in parts)
    assert text == whole.choices[0]["message"]["content"] == "The encoder window is cleaned with a dry cloth. [1]"
    assert [part["finish_reason"] for part in parts] == [None] * (len(parts) - 1) + ["stop"]
    assert all(len(part["delta"]["content"].split()) == 1 for part in parts[:-1])
    # It read the question and the passage, and wrote ten words with the marker.
    assert chunks[-1].usage == whole.usage
    assert whole.usage is not None and whole.usage.output_tokens == 10
    assert whole.usage.input_tokens == count_words("Who cleans the encoder window?" + MANUAL)


def test_only_sentences_that_may_answer_are_embedded_where_search_named_the_place() -> None:
    idle = " ".join(f"Unrelated remark number {number} concerns gardens." for number in range(80))
    text = f"{idle} Replace the axis seals every 24 months. {idle.replace('remark', 'note')}"
    start = text.index("Replace")
    found = replace(passage(text), matched=Span(start, start + 40, None))
    embedded: list[str] = []

    def embed(texts: list[str]) -> np.ndarray:
        embedded.extend(texts)
        return local_minilm().embed(texts)

    model = LocalExtractive(embed=embed, count_tokens=count_words)
    prompt = Prompt({}, 500, "How often are the axis seals replaced?", (found,), True)
    [choice] = asyncio.run(model.complete(prompt)).choices
    assert choice["message"]["content"] == "Replace the axis seals every 24 months. [1]"
    assert len(embedded) <= 3
