"""Offsets are exact in any script, sizes stay within the strategy, and no part of a chunk is lost to the embedder."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from knowledge.chunking import (
    PASSAGE_TOKENS,
    Chunk,
    ChunkingStrategy,
    Span,
    chunk,
    chunk_embeddings,
    distinct_passages,
    offline_tokenizer,
)
from knowledge.parsing.documents import PageSpan, ParsedDocument

SMALL = ChunkingStrategy(max_chunk_size_tokens=100, chunk_overlap_tokens=50)

FRAGMENTS = [
    "A plain sentence. ",
    "Zwölf Boxkämpfer jagen Viktor. ",
    "שלום עולם, זה טקסט. ",
    "مرحبا بالعالم ",
    "日本語の文章です。",
    "한국어 문장입니다. ",
    "👨‍👩‍👧‍👦 🏳️‍🌈 ",
    "e\u0301\u0302\u0303",
    "\r\n",
    "\n\n",
    "\t",
    "# Heading\n",
    "## Sub #\r\n",
    "```\n# code\n```\n",
    "\u200b",
    "\u2028",
    "\x85",
    "\x1c",
    "#" * 7,
    "x" * 300,
    "| a | b |\n| --- | --- |\n",
    "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 ",
]
texts = st.lists(st.one_of(st.sampled_from(FRAGMENTS), st.text(max_size=30)), max_size=60).map("".join)
strategies = st.sampled_from([SMALL, ChunkingStrategy(100, 0), ChunkingStrategy(300, 20), ChunkingStrategy()])


def document(text: str, mime_type: str = "text/markdown", pages: tuple[PageSpan, ...] = ()) -> ParsedDocument:
    return ParsedDocument(text=text, pages=pages, title=None, mime_type=mime_type)


def tokens(text: str) -> int:
    return len(offline_tokenizer().encode(text, add_special_tokens=False).ids)


def sentences(count: int) -> str:
    return " ".join(f"Sentence number {number} speaks of the harbour and its lights." for number in range(count))


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(text=texts, repeat=st.integers(1, 8), strategy=strategies, mime=st.sampled_from(["text/plain", "text/markdown"]))
def test_every_chunk_and_passage_is_the_text_at_its_offsets(
    text: str, repeat: int, strategy: ChunkingStrategy, mime: str
) -> None:
    text *= repeat
    chunks = chunk(document(text, mime), strategy)
    assert [each.ordinal for each in chunks] == list(range(len(chunks)))
    covered = set()
    for each in chunks:
        assert text[each.start : each.end] == each.text == each.text.strip()
        assert each.text
        assert each.tokens <= strategy.max_chunk_size_tokens
        covered.update(range(each.start, each.end))
        assert (each.passages[0].start, each.passages[-1].end) == (each.start, each.end)
        for before, after in pairwise(each.passages):
            assert not text[before.end : after.start].strip()
            assert before.end <= after.start
        assert all(span.tokens <= PASSAGE_TOKENS for span in each.passages)
        assert all(tokens(text[span.start : span.end]) <= 254 for span in each.passages)
    lost = "".join(character for index, character in enumerate(text) if index not in covered)
    assert tokens(lost) == 0 or all(tokens(character) == 0 for character in lost)


def test_chunks_fill_up_and_overlap_as_the_strategy_says() -> None:
    chunks = chunk(document(sentences(400)))
    assert all(700 <= each.tokens <= 800 for each in chunks[:-1])
    for before, after in pairwise(chunks):
        shared = tokens(before.text[after.start - before.start :])
        assert 300 <= shared <= 400


def test_without_overlap_nothing_is_repeated() -> None:
    chunks = chunk(document(sentences(100)), ChunkingStrategy(100, 0))
    assert all(before.end <= after.start for before, after in pairwise(chunks))


def test_overlapping_chunks_share_their_passages_so_that_no_text_is_embedded_twice() -> None:
    text = sentences(400)
    spans = distinct_passages(chunk(document(text)))
    assert all(before.end <= after.start for before, after in pairwise(spans))
    assert sum(span.tokens for span in spans) == tokens(text)


def test_a_chunk_that_fits_the_model_is_its_own_passage() -> None:
    [each] = chunk(document("One short text."))
    assert each.passages == (Span(0, 15, 4),)


def test_the_page_is_where_the_chunk_begins() -> None:
    first, second = sentences(20), sentences(30)
    text = f"{first}\n\n{second}"
    pages = (PageSpan(1, 0, len(first)), PageSpan(2, len(first) + 2, len(text)))
    chunks = chunk(document(text, "application/pdf", pages), SMALL)
    assert [each.page for each in chunks] == [1 if each.start < len(first) else 2 for each in chunks]
    assert {each.page for each in chunks} == {1, 2}


def test_the_heading_is_the_path_in_force_and_code_is_not_a_heading() -> None:
    parts = ["# Guide #", sentences(10), "## Setup", "```\n# not one\n```", sentences(10), "# C#", sentences(10)]
    chunks = chunk(document("\n\n".join(parts)), ChunkingStrategy(100, 0))
    by_heading = {each.heading for each in chunks}
    assert by_heading == {"Guide", "Guide > Setup", "C#"}


def test_plain_text_has_no_headings() -> None:
    assert {each.heading for each in chunk(document("# 12 Main Street\n\n" + sentences(5), "text/plain"))} == {None}


@pytest.mark.parametrize("text", ["", " \r\n\t ", "\u200b\u200b"])
def test_a_blank_document_has_no_chunks(text: str) -> None:
    assert chunk(document(text)) == []


@pytest.mark.parametrize("size, overlap", [(99, 0), (4097, 0), (100, 51), (100, -1)])
def test_sizes_outside_the_wire_are_refused(size: int, overlap: int) -> None:
    with pytest.raises(ValueError):
        ChunkingStrategy(size, overlap)


@pytest.mark.parametrize("text", ["# " + " " * 1_000_000 + "#x", "x" * 1_000_000, "word " * 200_000])
def test_a_line_of_a_million_characters_is_not_quadratic(text: str) -> None:
    assert chunk(document(text))


def test_stored_vectors_are_the_passages_and_their_mean_weighted_by_tokens() -> None:
    spans = (Span(0, 1, 30), Span(1, 2, 10))
    each = Chunk(0, "ab", 0, 2, None, None, 40, spans)
    rows = chunk_embeddings(each, {spans[0]: np.array([1.0, 0.0]), spans[1]: np.array([0.0, 1.0])})
    # mean (0.75, 0.25) over its length sqrt(0.625)
    np.testing.assert_allclose(rows, [[1, 0], [0, 1], [0.94868, 0.31623]], atol=1e-5)


def test_a_single_passage_is_a_single_vector() -> None:
    span = Span(0, 1, 1)
    rows = chunk_embeddings(Chunk(0, "a", 0, 1, None, None, 1, (span,)), {span: np.array([0.6, 0.8])})
    np.testing.assert_allclose(rows, [[0.6, 0.8]], rtol=1e-6)
