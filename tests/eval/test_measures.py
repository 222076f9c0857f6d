"""The measures agree with figures worked out by hand; collections are read as they are written."""

import math

import pytest

from tests.eval.collection import NoCollection, read_collection
from tests.eval.measures import mean, ndcg, recall


def test_ndcg_discounts_by_rank_and_divides_by_the_best_ranking():
    judged = {"a": 2, "b": 1, "c": 0}
    best = 2 + 1 / math.log2(3)
    assert ndcg(["b", "x", "a"], judged) == pytest.approx((1 + 2 / 2) / best)
    assert ndcg(["a", "b"], judged) == 1 and ndcg(["c", "x"], judged) == 0
    assert ndcg(["x", "a"], judged, k=1) == 0


def test_recall_is_the_share_of_the_relevant_that_was_found():
    assert recall(["a", "x", "b"], {"a": 1, "b": 1, "c": 1, "d": 0}) == pytest.approx(2 / 3)
    assert recall(["x", "a"], {"a": 1}, k=1) == 0


def test_a_query_without_a_run_counts_as_nothing_found():
    assert mean(recall, {"1": ["a"]}, {"1": {"a": 1}, "2": {"b": 1}}) == 0.5


def test_a_collection_is_read_from_its_three_files(tmp_path):
    (tmp_path / "corpus.jsonl").write_text(
        '{"_id": "1", "title": "Kilns", "text": "Hot\\u2028things."}\n{"_id": "2", "text": "Looms."}\n'
    )
    (tmp_path / "queries.jsonl").write_text('{"_id": "q", "text": "clay"}\n{"_id": "unjudged", "text": "tin"}\n')
    (tmp_path / "qrels.tsv").write_text("query-id\tcorpus-id\tscore\nq\t1\t2\nq\t2\t0\n")
    collection = read_collection(tmp_path)
    assert collection.name == tmp_path.name
    assert collection.documents == {"1": "Kilns\n\nHot\u2028things.", "2": "Looms."}
    assert collection.queries == {"q": "clay"} and collection.relevant == {"q": {"1": 2}}


def test_a_folder_without_judgements_is_no_collection(tmp_path):
    (tmp_path / "corpus.jsonl").touch()
    with pytest.raises(NoCollection, match=r"queries.jsonl, qrels.tsv"):
        read_collection(tmp_path)
