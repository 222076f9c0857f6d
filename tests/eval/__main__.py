"""`make eval-retrieval`: the quality of search through the API, by the `openai` SDK, on a running Atrium of its own.

    COLLECTION=path make eval-retrieval

Uploads the documents of a collection (default: `../shared/data/cisi`; see `collection`) as one file each, waits until
the workers have ingested them, asks every query by each ranker, and prints `metric <collection>.<ranker>.ndcg10` and
`….recall10`. A document ranks where its best passage does.
"""

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import openai

from tests.bench.atrium import running_atrium
from tests.bench.processes import stop_on_sigterm
from tests.eval.collection import CISI, Collection, NoCollection, read_collection
from tests.eval.measures import mean, ndcg, recall

RANKERS = ("lexical", "dense", "hybrid")
_AT_ONCE = 4  # calls of the API under way
_PASSAGES = 50  # the most that a search answers; several may be of one document
_SLOWEST_SECONDS_A_DOCUMENT = 3.0

Item, Result = TypeVar("Item"), TypeVar("Result")


class IngestionFailed(Exception):
    """A document was not ingested: a figure without it would mean nothing."""


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.eval", description=__doc__)
    parser.add_argument("folders", nargs="*", type=Path, default=[CISI], help="folders of collections")
    try:
        collections = [read_collection(folder.resolve()) for folder in parser.parse_args().folders]
    except NoCollection as error:
        print(error)
        return 1
    stop_on_sigterm()
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    with running_atrium() as atrium:
        for collection in collections:
            key = atrium.tenant(collection.name)
            with openai.OpenAI(base_url=f"{atrium.url}/v1", api_key=key, max_retries=5, timeout=120) as client:
                evaluate(client, collection)
    return 0


def evaluate(client: openai.OpenAI, collection: Collection) -> None:
    """Ingest a collection and print its figures."""
    store, names = ingest(client, collection)
    for ranker in RANKERS:
        started = time.perf_counter()
        found = _side_by_side(partial(_ranked, client, store, names, ranker), collection.queries.values())
        runs = dict(zip(collection.queries, found, strict=True))
        print(f"{len(runs)} queries, {ranker}: {time.perf_counter() - started:.1f} s")
        for name, measure in (("ndcg10", ndcg), ("recall10", recall)):
            figure = mean(measure, runs, collection.relevant)
            print(f"metric {collection.name}.{ranker}.{name} {figure:.4f}", flush=True)


def ingest(client: openai.OpenAI, collection: Collection) -> tuple[str, dict[str, str]]:
    """A vector store of the documents; returns its id, and the document of each file name."""
    names = {f"{number}.txt": document for number, document in enumerate(collection.documents)}
    store = client.vector_stores.create(name=collection.name).id
    started = time.perf_counter()

    def upload(name: str) -> str:
        content = (name, collection.documents[names[name]].encode(), "text/plain")
        file = client.files.create(file=content, purpose="assistants")
        client.vector_stores.files.create(store, file_id=file.id)
        return file.id

    _side_by_side(upload, names)
    print(f"{collection.name}: {len(names)} documents uploaded in {time.perf_counter() - started:.0f} s", flush=True)
    _wait_until_ingested(client, store, len(names))
    print(f"{collection.name}: ingested {time.perf_counter() - started:.0f} s after the first upload", flush=True)
    return store, names


def _wait_until_ingested(client: openai.OpenAI, store: str, expected: int) -> None:
    deadline = time.monotonic() + 60 + expected * _SLOWEST_SECONDS_A_DOCUMENT
    while (counts := client.vector_stores.retrieve(store).file_counts).in_progress:
        if time.monotonic() > deadline:
            raise IngestionFailed(f"{counts.in_progress} of {expected} documents are still in progress.")
        time.sleep(1.0)
    if counts.completed != expected:
        raise IngestionFailed(f"{counts.completed} of {expected} documents were completed, {counts.failed} failed.")


def _ranked(client: openai.OpenAI, store: str, names: dict[str, str], ranker: str, query: str) -> list[str]:
    """The documents of a search's passages, best first."""
    options: Any = {"ranker": ranker}  # the SDK types OpenAI's own rankers only
    found = client.vector_stores.search(store, query=query, max_num_results=_PASSAGES, ranking_options=options)
    return list(dict.fromkeys(names[hit.filename] for hit in found.data))


def _side_by_side(call: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(call, items))


if __name__ == "__main__":
    sys.exit(main())
