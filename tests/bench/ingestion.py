"""Ingestion beside the bare embedder: what reading, cutting, queueing, charging and storing cost.

    python -m tests.bench.ingestion [local|remote|memory …]

Documents of some four pages go from the queue to completed by the threads of one worker; the same passages go through
the embedder alone, before and after. Prints passages/s end to end ÷ bare passages/s:

- `metric ingest.ratio`: with the embedded model, against the embedded model;
- `metric ingest.remote.ratio`: with an embedding server that answers at once, against the embedded model;
- `metric ingest.memory_mb`: the most that a worker process holds while it ingests a PDF of 2,000 pages.

Beside each stands processor time, which a noisy machine disturbs less than it does the clock.
"""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from uuid import UUID

import psutil

from tests.bench.database import attach_files, attach_texts, ingest_all, own_database
from tests.bench.embedding_upstream import embedding_upstream
from tests.bench.processes import ROOT, WORKPLACE
from tests.bench.retrieval import CISI

DOCUMENTS, ABSTRACTS_EACH = 40, 12
REMOTE_ROUNDS = 4  # copies of the corpus, each a little different: the remote run would be over too soon otherwise
PAGES = 2_000
WORKERS = 4  # threads of an ingestion worker, as `config.supervisor` starts it


@dataclass(frozen=True)
class Pace:
    """Passages, the seconds they took by the clock, and of processors: ours, and those of parser and database."""

    passages: int
    seconds: float
    processor: float
    others: float

    @property
    def rate(self) -> float:
        """Passages a second."""
        return self.passages / self.seconds

    def __str__(self) -> str:
        each = 1000 / self.passages
        return f"{self.rate:.1f}/s, {self.processor * each:.1f} + {self.others * each:.1f} ms of processors a passage"


def main() -> int:
    """Measure what was asked for, or all of it, and print."""
    wanted = sys.argv[1:] or ["local", "remote", "memory"]
    if not CISI.is_dir():
        print("../shared/data/cisi is missing: this benchmark needs the shared folder beside the checkout.")
        return 1
    corpus = [json.loads(line)["text"] for line in (CISI / "corpus.jsonl").read_text().splitlines()]
    texts = {
        str(number): "\n\n".join(corpus[number * ABSTRACTS_EACH : (number + 1) * ABSTRACTS_EACH])
        for number in range(DOCUMENTS)
    }
    with own_database("ingestion") as tenant_id:
        if {"local", "remote"} & set(wanted):
            measure(tenant_id, texts, wanted)
        if "memory" in wanted:
            measure_memory(tenant_id)
    return 0


def measure(tenant_id: UUID, texts: dict[str, str], wanted: list[str]) -> None:
    """Bare before and after the whole, so that a drifting machine favours neither."""
    from inference.embedding import LocalEmbedder
    from knowledge import ports

    embedder = LocalEmbedder()
    ports.wire(lambda model: embedder)
    passages = passages_of(texts)
    embedder.embed(passages[:32])
    warm_up(tenant_id)
    before = timed(len(passages), lambda: embedder.embed(passages))
    whole = remote = None
    if "local" in wanted:
        attach_texts(tenant_id, texts)
        whole = timed(len(passages), lambda: ingest_all(workers=WORKERS))
    if "remote" in wanted:
        remote = measure_remote(tenant_id, texts, len(passages))
    after = timed(len(passages), lambda: embedder.embed(passages))
    check_all_completed(tenant_id)
    bare = (before.rate + after.rate) / 2
    print(f"{len(texts)} documents, {len(passages)} passages; bare: {before}; {after}")
    if whole is not None:
        print(f"end to end: {whole}")
        print(f"metric ingest.ratio {whole.rate / bare:.2f}")
        print(
            f"metric ingest.cpu_ratio {(before.processor + after.processor) / 2 / (whole.processor + whole.others):.2f}"
        )
    if remote is not None:
        print(f"end to end, remote: {remote}")
        print(f"metric ingest.remote.ratio {remote.rate / bare:.2f}")


def measure_remote(tenant_id: UUID, texts: dict[str, str], passages: int) -> Pace:
    """The same documents by an embedder that is no work of ours."""
    from inference.embedding import RemoteEmbedder
    from inference.models import Deployment
    from knowledge import ports

    rounds = {
        f"{name}-{number}": f"Copy {number}. {text}" for number in range(REMOTE_ROUNDS) for name, text in texts.items()
    }
    with embedding_upstream() as url:
        deployment = Deployment(base_url=url, upstream_model="noise")
        embedder = RemoteEmbedder("all-MiniLM-L6-v2", 384, deployment)
        ports.wire(lambda model: embedder)
        attach_texts(tenant_id, rounds)
        return timed(passages * REMOTE_ROUNDS, lambda: ingest_all(workers=WORKERS))


def warm_up(tenant_id: UUID) -> None:
    """The parser's process, the connections and the plans are there before the clock starts."""
    attach_texts(tenant_id, {f"warm-{number}": f"Warm up number {number}." for number in range(4)})
    ingest_all(workers=WORKERS)


def timed(passages: int, work: Callable[[], object]) -> Pace:
    """Run `work` with an eye on the clock and on processors."""
    started, own, others = time.perf_counter(), time.process_time(), processor_of_others()
    work()
    seconds = time.perf_counter() - started
    return Pace(passages, seconds, time.process_time() - own, processor_of_others() - others)


def processor_of_others() -> float:
    """Processor seconds so far of the processes that belong to this benchmark: database, parser, Redis, servers."""
    total = 0.0
    place = str(WORKPLACE / "ingestion")
    own = psutil.Process()
    ours = {child.pid for child in own.children(recursive=True)}
    for process in psutil.process_iter(["pid", "cwd", "cpu_times"]):
        if process.pid != own.pid and (process.pid in ours or str(process.info["cwd"]).startswith(place)):
            times = process.info["cpu_times"]
            total += times.user + times.system + times.children_user + times.children_system
    return total


def passages_of(texts: dict[str, str]) -> list[str]:
    """What ingestion will embed."""
    from knowledge.chunking import chunk, distinct_passages
    from knowledge.parsing.reading import parse

    found = []
    for name, text in texts.items():
        document = parse(text.encode(), f"{name}.txt")
        found += [document.text[span.start : span.end] for span in distinct_passages(chunk(document))]
    return found


def measure_memory(tenant_id: UUID) -> None:
    """The most that this process holds, as a worker would, while it ingests a long PDF; the embedder is remote, or the
    embedding would take minutes.
    """
    from inference.embedding import LocalEmbedder, RemoteEmbedder
    from inference.models import Deployment
    from knowledge import ports

    with ExitStack() as stack:
        url = stack.enter_context(embedding_upstream())
        LocalEmbedder().embed(["The embedded model is loaded, as in a worker that serves other stores with it."])
        embedder = RemoteEmbedder("all-MiniLM-L6-v2", 384, Deployment(base_url=url, upstream_model="noise"))
        ports.wire(lambda model: embedder)
        # Made by another process: what it takes is not the worker's.
        written = subprocess.run([sys.executable, "-c", _WRITE_PDF], cwd=ROOT, check=True, stdout=subprocess.PIPE)
        attach_files(tenant_id, {"long.pdf": written.stdout})
        del written
        base = psutil.Process().memory_info().rss / 2**20
        peak = stack.enter_context(_Peak())
        pace = timed(PAGES, lambda: ingest_all(workers=WORKERS))
        check_all_completed(tenant_id)
    print(
        f"{PAGES} pages: {pace.seconds:.1f} s; worker {base:.0f} to {peak.own:.0f} MB, parser's child {peak.child:.0f} MB"
    )
    print(f"metric ingest.memory_mb {peak.own:.0f}")


_WRITE_PDF = f"""
import sys
from tests.knowledge.long_pdf import pdf_of

def page(number):
    for line in range(45):
        wind, sea = line * number % 97, number % 89
        yield f"Page {{number}}, line {{line}}: in the night the keeper notes wind {{wind}} and sea {{sea}}."

sys.stdout.buffer.write(pdf_of([list(page(number)) for number in range(1, {PAGES} + 1)]))
"""


class _Peak:
    """Watches resident memory of this process and of the largest of its children, in MB."""

    def __init__(self) -> None:
        self.own = self.child = 0.0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "_Peak":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        own = psutil.Process()
        while not self._done.wait(0.05):
            self.own = max(self.own, own.memory_info().rss / 2**20)
            for child in own.children(recursive=True):
                try:
                    if "parsing" in " ".join(child.cmdline()):
                        self.child = max(self.child, child.memory_info().rss / 2**20)
                except psutil.NoSuchProcess:
                    continue


def check_all_completed(tenant_id: UUID) -> None:
    """A figure of documents that failed would mean nothing."""
    from knowledge.models import VectorStoreFile
    from tenants.scope import acting_for, tenant_scope

    with acting_for(tenant_id), tenant_scope():
        others = list(VectorStoreFile.objects.exclude(state="completed").values_list("state", "error_message")[:3])
    if others:
        raise SystemExit(f"not completed: {others}")


if __name__ == "__main__":
    if "MALLOC_ARENA_MAX" not in os.environ:
        # As the supervisor starts the ingestion worker; glibc reads it once.
        again = [sys.executable, "-m", "tests.bench.ingestion", *sys.argv[1:]]
        os.execve(sys.executable, again, {**os.environ, "MALLOC_ARENA_MAX": "2"})
    sys.exit(main())
