"""A test collection in a folder: `corpus.jsonl` {_id, title, text}, `queries.jsonl` {_id, text}, `qrels.tsv`.

`qrels.tsv` has a line of headings, then query, document and relevance, separated by tabs (the layout of BEIR).
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

#: Shared by every checkout of the project; it lies beside them.
CISI = Path(__file__).resolve().parents[3] / "shared" / "data" / "cisi"


class NoCollection(Exception):
    """The folder does not hold a collection; the message says what is missing."""


@dataclass(frozen=True)
class Collection:
    """Documents and queries by id, and of each judged query the relevance of the documents that have any."""

    name: str
    documents: dict[str, str]
    queries: dict[str, str]
    relevant: dict[str, dict[str, int]]


def read_collection(folder: Path) -> Collection:
    """The collection in `folder`, named after it. Queries without a relevant document are left out.

    Raises:
        NoCollection: a file is missing.
    """
    missing = [name for name in ("corpus.jsonl", "queries.jsonl", "qrels.tsv") if not (folder / name).is_file()]
    if missing:
        raise NoCollection(f"{folder} holds no {', '.join(missing)}: this needs a collection with judgements.")
    relevant = _judgements(folder / "qrels.tsv")
    queries = {row["_id"]: row["text"] for row in _rows(folder / "queries.jsonl") if row["_id"] in relevant}
    documents = {row["_id"]: _whole(row) for row in _rows(folder / "corpus.jsonl")}
    return Collection(folder.name, documents, queries, relevant)


def _whole(row: dict[str, str]) -> str:
    return f"{row['title']}\n\n{row['text']}" if row.get("title") else row["text"]


def _rows(path: Path) -> list[dict[str, str]]:
    # By "\n" only: str.splitlines would also cut at line separators within a text.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]


def _judgements(path: Path) -> dict[str, dict[str, int]]:
    found: dict[str, dict[str, int]] = {}
    with path.open(encoding="utf-8", newline="") as file:
        for query, document, relevance in list(csv.reader(file, delimiter="\t"))[1:]:
            if int(relevance) > 0:
                found.setdefault(query, {})[document] = int(relevance)
    return found
