"""Starting the S3 server, and a client of it."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3.session
import pytest
from botocore.config import Config

from config.supervisor import ROOT

ACCESS_KEY_ID, SECRET_ACCESS_KEY, REGION = "test:tester", "testing", "us-east-1"


@dataclass(frozen=True)
class Swift:
    """A running S3 server."""

    url: str

    def client(self) -> Any:
        """boto3's own, for what a bucket's owner does."""
        return boto3.session.Session(ACCESS_KEY_ID, SECRET_ACCESS_KEY, region_name=REGION).client(
            "s3", endpoint_url=self.url, config=Config(request_checksum_calculation="when_required")
        )


@contextmanager
def swift() -> Iterator[Swift]:
    """A server with nothing in it; skips where `make .swift/.made` was not run, unless `REQUIRE_SWIFT` is set."""
    python = ROOT / ".swift" / "bin" / "python"
    if not python.exists() and not os.environ.get("REQUIRE_SWIFT"):
        pytest.skip("no S3 server here: run `make .swift/.made`")
    with TemporaryDirectory(prefix="swift-") as folder:
        command = [python, "-W", "ignore", Path(__file__).with_name("serve.py"), folder]
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        assert process.stdin is not None and process.stdout is not None
        try:
            port = process.stdout.readline().decode().strip()
            assert port.isdigit(), "the S3 server did not start"
            yield Swift(f"http://127.0.0.1:{port}")
        finally:
            process.stdin.close()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            process.stdout.close()
