"""The embedded model gives the model card's vectors, in order, from any thread and from a child process."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from inference.providers import minilm


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest.fixture(scope="module")
def model(model_dir: Path) -> minilm.MiniLM:
    return minilm.MiniLM(model_dir)


def test_the_similarities_are_the_model_cards(model: minilm.MiniLM) -> None:
    # The public model card's widget: "That is a happy person" against three sentences.
    source, *others = model.embed(
        ["That is a happy person", "That is a happy dog", "That is a very happy person", "Today is a sunny day"]
    )
    np.testing.assert_allclose(np.array(others) @ source, [0.695, 0.943, 0.257], atol=0.001)


def test_the_vectors_are_the_reference_implementations(model: minilm.MiniLM) -> None:
    # First values that sentence-transformers prints for the model card's example sentences.
    vectors = model.embed(["This is an example sentence", "Each sentence is converted"])
    expected = [[0.0677, 0.0635, 0.0487, 0.0793, 0.0374], [0.0864, 0.1028, 0.0054, 0.0020, -0.0100]]
    np.testing.assert_allclose(vectors[:, :5], expected, atol=1e-4)


def test_order_and_company_do_not_change_a_vector(model: minilm.MiniLM) -> None:
    texts = ["short", "a somewhat longer text about ships " * 8, "", "middling text", "word " * 400, "日本語"]
    together = model.embed(texts)
    alone = np.vstack([model.embed([text]) for text in texts])
    assert together.shape == (6, 384)
    assert together.dtype == np.float32
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-5)


def test_nothing_in_nothing_out(model: minilm.MiniLM) -> None:
    assert model.embed([]).shape == (0, 384)


def test_text_beyond_254_word_pieces_is_not_seen(model: minilm.MiniLM) -> None:
    seen = "harbour " * 254
    vectors = model.embed([seen, seen + "lighthouse " * 50, "harbour " * 253 + "lighthouse"])
    np.testing.assert_allclose(vectors[0], vectors[1], atol=1e-6)
    assert np.abs(vectors[0] - vectors[2]).max() > 1e-4


def test_tokens_are_counted_without_truncation_and_special_ones(model: minilm.MiniLM) -> None:
    assert model.count_tokens("hello world") == 2
    assert model.count_tokens("harbour " * 1000) == 1000


def test_building_twice_keeps_the_file(model_dir: Path) -> None:
    path = minilm.build(model_dir)
    before = path.stat()
    assert minilm.build(model_dir) == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns


def test_a_race_to_build_leaves_one_whole_file(tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        paths = set(pool.map(lambda _: minilm.build(tmp_path), range(2)))
    assert [*tmp_path.iterdir()] == [*paths]
    assert minilm.MiniLM(tmp_path).embed(["x"]).shape == (1, 384)


def test_threads_share_a_model(model_dir: Path) -> None:
    shared = minilm.MiniLM(model_dir)
    texts = [f"text number {number}" for number in range(16)]
    with ThreadPoolExecutor(4) as pool:
        vectors = np.vstack([*pool.map(lambda text: shared.embed([text]), texts)])
    np.testing.assert_allclose(vectors, shared.embed(texts), atol=1e-5)


def test_a_child_loads_its_own_session(model: minilm.MiniLM) -> None:
    expected = model.embed(["before the fork"])
    child = os.fork()
    if child == 0:
        same = np.allclose(model.embed(["before the fork"]), expected, atol=1e-5)
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
