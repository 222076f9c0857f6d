"""Management commands of the running Atrium, run by one process: each `manage.py` of its own imports for seconds.

The process has the stack's environment. Where a test changes that, a new one is started with the next command.
"""

import io
import json
import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import Any

from config.supervisor import ROOT


class CommandFailed(Exception):
    """It ended with another status than 0; the message is what it printed."""


class Commands:
    """The process, started with the first command and kept until `close`."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment
        self._started_with: dict[str, str] = {}
        self._process: subprocess.Popen[str] | None = None

    def run(self, *arguments: str, stdin: str = "") -> str:
        """What the command prints.

        Raises:
            CommandFailed: it ended badly.
        """
        process = self._running()
        assert process.stdin is not None and process.stdout is not None
        print(json.dumps([arguments, stdin]), file=process.stdin, flush=True)
        answer = process.stdout.readline()
        if not answer:
            raise CommandFailed(f"the process of commands ended with {process.wait()}")
        status, printed, complaint = json.loads(answer)
        if status:
            raise CommandFailed(complaint)
        return printed

    def close(self) -> None:
        """End it: it reads until its input is closed."""
        if self._process is not None:
            self._process.communicate()
            self._process = None

    def _running(self) -> subprocess.Popen[str]:
        if self._process is None or self._started_with != self._environment:
            self.close()
            self._started_with = dict(self._environment)
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.e2e.commands"],
                cwd=ROOT, env=self._started_with, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            )  # fmt: skip
        return self._process


def run(arguments: list[str], stdin: str) -> tuple[Any, str, str]:
    """(exit status, what it printed, what it complained of) of a command."""
    from django.core.management import execute_from_command_line

    printed, complaint = io.StringIO(), io.StringIO()
    sys.stdin = io.StringIO(stdin)
    with redirect_stdout(printed), redirect_stderr(complaint):
        try:
            execute_from_command_line(["manage.py", *arguments])
            status: Any = 0
        except SystemExit as ended:
            status = ended.code
    return status, printed.getvalue(), complaint.getvalue()


def main() -> None:
    """Read commands, one JSON a line, and answer each with a line."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    for line in sys.stdin:
        print(json.dumps(run(*json.loads(line))), flush=True)


if __name__ == "__main__":
    main()
