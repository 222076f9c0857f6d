"""Starting llama.cpp's OpenAI-compatible server with a model that was just made up."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import urllib3

from config.supervisor import ROOT

KEY = "sk-llama-for-tests"
#: What the model was made with; its embeddings have as many numbers as it is wide.
CONTEXT, DIMENSIONS = 4096, 64


@dataclass(frozen=True)
class Llama:
    """A running server."""

    url: str
    port: int


@contextmanager
def llama() -> Iterator[Llama]:
    """A server that answers nonsense; skips where `make .llama/.made` was not run, unless `REQUIRE_LLAMA` is set."""
    python = ROOT / ".llama" / "bin" / "python"
    if not python.exists() and not os.environ.get("REQUIRE_LLAMA"):
        pytest.skip("no OpenAI-compatible server here: run `make .llama/.made`")
    with TemporaryDirectory(prefix="llama-") as folder:
        model = Path(folder) / "nonsense.gguf"
        subprocess.run([python, Path(__file__).with_name("make_model.py"), model], check=True)
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        command = [
            python, "-W", "ignore", "-m", "llama_cpp.server", "--model", model, "--model_alias", "nonsense", "--api_key", KEY,
            "--host", "127.0.0.1", "--port", str(port), "--n_ctx", str(CONTEXT), "--n_threads", "1", "--embedding", "true",
            "--interrupt_requests", "false",  # or a new stream ends the one before
        ]  # fmt: skip
        log = Path(folder) / "log"
        with log.open("wb") as output:
            process = subprocess.Popen(command, stdout=output, stderr=output)
        try:
            _wait_for(process, port, log)
            yield Llama(f"http://127.0.0.1:{port}/v1", port)
        finally:
            process.terminate()
            process.wait(20)


def _wait_for(process: subprocess.Popen[bytes], port: int, log: Path) -> None:
    """Until it answers; the model is read in a second or two."""
    deadline = time.monotonic() + 60
    headers = {"authorization": f"Bearer {KEY}", "connection": "close"}
    with urllib3.PoolManager(headers=headers, retries=False) as pool:
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if pool.request("GET", f"http://127.0.0.1:{port}/v1/models", timeout=2).status == 200:
                    return
            except urllib3.exceptions.HTTPError:
                pass  # it is not there yet
            time.sleep(0.1)
    raise AssertionError(f"the server did not start:\n{log.read_text(errors='replace')[-2000:]}")
