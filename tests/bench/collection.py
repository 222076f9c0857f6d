"""A made-up collection: 1,000 tenants of skewed sizes, vectors with topics, words by Zipf's law, documents as they arrive.

Vectors have some twenty directions of freedom within a topic, like those of text, and a tenant writes about a few of
500 topics. So a question of its own topics has near neighbours, one of a topic that only others have has none: the case
in which an index shared by all finds next to nothing. Everything follows from the seed.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from uuid import UUID

import numpy as np

DIMENSIONS = 384
TOPICS, FREEDOMS = 500, 20
VOCABULARY, TERMS = 60_000, 96
#: A filter on one value of the attribute `shelf` lets one document of this many through.
SHELVES = 100
#: Sizes that the figures are about, in chunks; what is left of the million is spread over small tenants.
LARGE, BETWEEN, MIDDLE, SMALL = (300_000, 100_000), (40_000, 20_000, 10_000), (5_000,) * 4, (500, 1_000)
TENANTS, CHUNKS = 1_000, 1_000_000
ASKED_SMALL = 10
_CHUNKS_A_DOCUMENT = 20  # on average


@dataclass(frozen=True)
class Document:
    """`count` chunks of one tenant, the `first` to come among its own."""

    tenant: int
    number: int
    count: int


@dataclass
class Collection:
    """Who has how much about what; the random numbers of `seed`. `asked`: these sizes and no others."""

    seed: int = 7
    asked: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)

    def __post_init__(self) -> None:
        random = np.random.default_rng(self.seed)
        named = [*LARGE, *BETWEEN, *MIDDLE]
        left = TENANTS - len(named) - ASKED_SMALL
        spare = CHUNKS - sum(named) - ASKED_SMALL * SMALL[1] - left * SMALL[0]
        rest = [*[SMALL[1]] * ASKED_SMALL, *(SMALL[0] + random.multinomial(spare, np.full(left, 1 / left)))]
        self.sizes = self.asked or [*named, *map(int, rest)]
        self.centres = _unit(random.standard_normal((TOPICS, DIMENSIONS)))
        self.directions = random.standard_normal((TOPICS, FREEDOMS, DIMENSIONS)) / np.sqrt(DIMENSIONS * FREEDOMS)
        self.topics = [random.choice(TOPICS, _topics_of(size), replace=False) for size in self.sizes]
        frequencies = 1 / (np.arange(VOCABULARY) + 20.0)  # the most frequent words are no stop words
        self.words = np.cumsum(frequencies / frequencies.sum())

    def id_of(self, *path: object) -> UUID:
        """A stable id for anything in the collection."""
        return UUID(bytes=hashlib.md5(f"{self.seed}/{path}".encode(), usedforsecurity=False).digest())

    def documents(self, tenants: list[int], seed: int) -> Iterator[Document]:
        """All documents of these tenants as they arrive: in no order."""
        random = np.random.default_rng(seed)
        found = []
        for tenant in tenants:
            left, number = self.sizes[tenant], 0
            while left:
                count = min(left, int(random.geometric(1 / _CHUNKS_A_DOCUMENT)))
                found.append(Document(tenant, number, count))
                left, number = left - count, number + 1
        random.shuffle(found)  # type: ignore[arg-type]
        yield from found

    def vectors(self, topics: np.ndarray, random: np.random.Generator) -> np.ndarray:
        """float32 (n, DIMENSIONS) of length 1, one about each of `topics`."""
        found = self.centres[topics].astype(np.float32)
        for topic in np.unique(topics):
            of_topic = topics == topic
            freedoms = random.standard_normal((int(of_topic.sum()), FREEDOMS))
            found[of_topic] += 0.9 * (freedoms @ self.directions[topic])
        found += 0.25 * random.standard_normal(found.shape, np.float32) / np.sqrt(DIMENSIONS)
        return _unit(found)

    def terms(self, count: int, random: np.random.Generator) -> np.ndarray:
        """int (count, TERMS): different words of as many chunks, frequent ones in most of them."""
        drawn = np.searchsorted(self.words, random.random((count, TERMS * 3)))
        found = np.empty((count, TERMS), np.int64)
        for row, candidates in enumerate(np.minimum(drawn, VOCABULARY - 1)):
            different = np.unique(candidates)
            if len(different) < TERMS:
                different = np.unique(np.r_[different, random.integers(0, VOCABULARY, TERMS * 2)])
            found[row] = random.permutation(different)[:TERMS]
        return found

    def questions(self, tenant: int, count: int, *, own_topics: bool) -> np.ndarray:
        """float32 (count, DIMENSIONS): about the tenant's topics, or about topics that only others have."""
        random = np.random.default_rng([self.seed, tenant, own_topics])
        own = self.topics[tenant]
        about = own if own_topics else np.setdiff1d(np.arange(TOPICS), own)
        return self.vectors(random.choice(about, count), random)

    def wordings(self, tenant: int, count: int) -> list[str]:
        """Queries of six words, as frequent as a chunk's."""
        random = np.random.default_rng([self.seed, tenant, 99])
        return [" ".join(word(term) for term in row[:6]) for row in self.terms(count, random)]


def _topics_of(size: int) -> int:
    return 40 if size >= 100_000 else 12 if size >= 5_000 else 4


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def word(term: int) -> str:
    """The word of that number, one that no stemmer touches."""
    return _vocabulary()[0][term]


def places() -> np.ndarray:
    """The place of every word in the space of terms, counted from 1, as `term_place` has it."""
    return _vocabulary()[1]


@cache
def _vocabulary() -> tuple[list[str], np.ndarray]:
    """Words and their places, all different: a few words that share one with another are left out."""
    words: dict[int, str] = {}
    number = 0
    while len(words) < VOCABULARY:
        digest = hashlib.md5(f"w{number}".encode(), usedforsecurity=False).hexdigest()
        words.setdefault(int(digest[:7], 16) + 1, f"w{number}")
        number += 1
    return list(words.values()), np.array(list(words))
