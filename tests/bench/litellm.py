"""LiteLLM's proxy as the gateway to compare with: its own pinned environment, two workers, no database.

The environment is built once under `var/bench` and rebuilt when `litellm.txt` changes.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import yaml

from tests.bench.load import Target
from tests.bench.processes import ROOT, WORKPLACE, BenchError, free_port, running, shared_file

REQUIREMENTS = Path(__file__).with_suffix(".txt")
ENVIRONMENT = WORKPLACE / "litellm-venv"
WORKERS = 2
STARTUP_SECONDS = 120


@contextmanager
def litellm_target(*, upstream_url: str) -> Iterator[Target]:
    """Run the proxy in front of `upstream_url`, installing it first where needed; master key only, as configured."""
    _install()
    config = yaml.safe_load(shared_file("litellm.yaml").read_text())
    model = config["model_list"][0]
    model["litellm_params"]["api_base"] = upstream_url
    settings = WORKPLACE / "litellm.yaml"
    settings.write_text(yaml.safe_dump(config))
    port = free_port()
    command = [ENVIRONMENT / "bin" / "litellm", "--config", settings, "--host", "127.0.0.1", "--port", str(port),
               "--num_workers", str(WORKERS)]  # fmt: skip
    # The price map ships with the wheel; without this the start waits for three attempts to fetch it from the network.
    environment = {"LITELLM_LOCAL_MODEL_COST_MAP": "True"}
    with running("litellm", command, env=environment, ready=_every_worker_started, timeout=STARTUP_SECONDS):
        key = config["general_settings"]["master_key"]
        yield Target(name="litellm", base_url=f"http://127.0.0.1:{port}/v1", keys=(key,), model=model["model_name"])


def _every_worker_started(log: Path) -> bool:
    return log.read_text(errors="replace").count("Application startup complete") >= WORKERS


def _install() -> None:
    """Make the environment unless it already holds exactly this list. An interrupted build leaves no stamp."""
    wanted = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()
    stamp = ENVIRONMENT / "requirements.sha256"
    if stamp.is_file() and stamp.read_text() == wanted:
        return
    print("installing LiteLLM for the comparison (once) ...", flush=True)
    shutil.rmtree(ENVIRONMENT, ignore_errors=True)
    for command in _install_commands():
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise BenchError(f"LiteLLM could not be installed:\n{done.stderr[-2000:]}")
    stamp.write_text(wanted)


def _install_commands() -> list[list[str]]:
    exact = ["--quiet", "--no-deps", "--require-hashes", "-r", str(REQUIREMENTS)]
    python = str(ENVIRONMENT / "bin" / "python")
    uv = ROOT / ".venv" / "bin" / "uv"
    if uv.exists():
        return [
            [str(uv), "venv", "--quiet", "--python", sys.executable, str(ENVIRONMENT)],
            [str(uv), "pip", "install", "--python", python, *exact],
        ]
    return [[sys.executable, "-m", "venv", str(ENVIRONMENT)], [python, "-m", "pip", "install", *exact]]
