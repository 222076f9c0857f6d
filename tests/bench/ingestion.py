"""Ingestion beside the bare embedder: what reading, cutting, queueing, charging and storing cost.

    python -m tests.bench.ingestion

Documents of some four pages go from the queue to completed by two threads, as in the worker; then the same passages
go through the embedder alone. Prints `metric ingest.ratio`, end-to-end passages/s ÷ bare passages/s.
"""

import json
import sys
import time
from uuid import UUID

from tests.bench.database import attach_texts, ingest_all, own_database
from tests.eval.collection import CISI

DOCUMENTS, ABSTRACTS_EACH = 40, 12


def main() -> int:
    """Measure and print."""
    if not CISI.is_dir():
        print("../shared/data/cisi is missing: this benchmark needs the shared folder beside the checkout.")
        return 1
    corpus = [json.loads(line)["text"] for line in (CISI / "corpus.jsonl").read_text().splitlines()]
    texts = {
        str(number): "\n\n".join(corpus[number * ABSTRACTS_EACH : (number + 1) * ABSTRACTS_EACH])
        for number in range(DOCUMENTS)
    }
    with own_database("ingestion") as tenant_id:
        measure(tenant_id, texts)
    return 0


def measure(tenant_id: UUID, texts: dict[str, str]) -> None:
    """Bare before and after the whole, so that a drifting machine favours neither."""
    from inference.embedding import LocalEmbedder
    from knowledge import ports

    embedder = LocalEmbedder()
    ports.wire(lambda model: embedder)
    passages = passages_of(texts)
    embedder.embed(passages[:32])
    before = bare_rate(embedder, passages)
    attach_texts(tenant_id, texts)
    started = time.perf_counter()
    ingest_all()
    whole = len(passages) / (time.perf_counter() - started)
    bare = (before + bare_rate(embedder, passages)) / 2
    check_completed(tenant_id, len(texts))
    print(f"{len(texts)} documents, {len(passages)} passages: {whole:.1f}/s end to end, {bare:.1f}/s bare")
    print(f"metric ingest.ratio {whole / bare:.2f}")


def passages_of(texts: dict[str, str]) -> list[str]:
    """What ingestion will embed."""
    from knowledge.chunking import chunk, distinct_passages
    from knowledge.parsing.reading import parse

    found = []
    for name, text in texts.items():
        document = parse(text.encode(), f"{name}.txt")
        found += [document.text[span.start : span.end] for span in distinct_passages(chunk(document))]
    return found


def bare_rate(embedder: object, passages: list[str]) -> float:
    """Passages/s of the embedder alone."""
    started = time.perf_counter()
    embedder.embed(passages)  # type: ignore[attr-defined]
    return len(passages) / (time.perf_counter() - started)


def check_completed(tenant_id: UUID, expected: int) -> None:
    """A figure of documents that failed would mean nothing."""
    from knowledge.models import VectorStoreFile
    from tenants.scope import acting_for, tenant_scope

    with acting_for(tenant_id), tenant_scope():
        completed = VectorStoreFile.objects.filter(state="completed").count()
    if completed != expected:
        raise SystemExit(f"{completed} of {expected} documents were completed")


if __name__ == "__main__":
    sys.exit(main())
