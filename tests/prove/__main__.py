"""Run the proofs one after another and print a line of figures and a metric for each."""

import importlib
import logging
import os
import shutil
import sys
import time
import traceback
from pathlib import Path
from typing import TextIO

import django
from django.db import connections

from config.supervisor import ROOT
from tests.prove.ground import Ground, proving_ground
from tests.prove.verdict import SCALE, Verdict

#: Promise of the README → the module here that proves it.
PROOFS = {
    1: "catalogue",
    2: "strangers",
    3: "random_operations",
    4: "one_connection",
    5: "recall",
    6: "budget",
    7: "cancelled",
    8: "ledger",
    9: "idempotency",
    10: "outages",
    11: "poison",
    12: "stopping",
    13: "doors",
    14: "injection",
    15: "keys_and_desk",
    18: "batches",
}
_SHOWN = 12


def main(arguments: list[str]) -> int:
    """0 where every promise holds."""
    try:
        chosen = [int(text) for text in arguments] or list(PROOFS)
        unknown = sorted(set(chosen) - set(PROOFS))
    except ValueError:
        chosen, unknown = [], arguments
    if unknown:
        print(f"No proof for {unknown}. There are: {', '.join(map(str, PROOFS))}.", file=sys.stderr)
        return 2
    var = ROOT / "var" / f"prove-{os.getpid()}"
    var.mkdir(parents=True)
    log = var / "output.log"
    report = _processes_write_to(log)
    try:
        with proving_ground(var, log) as ground:
            django.setup()
            # This process is the client: what its HTTP library tells of its requests is not Atrium's log.
            logging.getLogger("httpx2").setLevel(logging.WARNING)
            broken = [promise for promise in chosen if not _holds(promise, ground, report)]
    except BaseException:
        print("\n".join(log.read_text(errors="replace").splitlines()[-30:]), file=report)
        traceback.print_exc(file=report)
        raise
    finally:
        shutil.rmtree(var, ignore_errors=True)
    return 1 if broken else 0


def _processes_write_to(log: Path) -> TextIO:
    """Turn what this process and those it starts print into `log`; returns the way to the terminal."""
    report = os.fdopen(os.dup(sys.stdout.fileno()), "w")
    with log.open("wb") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    return report


def _holds(promise: int, ground: Ground, report: TextIO) -> bool:
    started = time.monotonic()
    connections.close_all()  # the proof before may have restarted the database
    try:
        # Imported now: the models that proofs look at need Django to be set up, and that the running stack.
        verdict: Verdict = importlib.import_module(f"tests.prove.{PROOFS[promise]}").prove(ground)
    except Exception as error:  # noqa: BLE001  a proof that cannot be finished proves nothing; the others go on
        traceback.print_exc()
        place = traceback.extract_tb(error.__traceback__)[-1]
        told = f"{type(error).__name__}: {error} ({Path(place.filename).name}:{place.lineno})"
        verdict = Verdict("the proof broke off", [told])
    at_scale = "" if SCALE == 1 else f" (scale {SCALE})"
    print(f"promise {promise}: {verdict.figures}; {time.monotonic() - started:.0f} s{at_scale}", file=report)
    for violation in verdict.violations[:_SHOWN]:
        print(f"   {violation}", file=report)
    for name, value in verdict.metrics.items():
        print(f"metric {name} {value:g}", file=report)
    print(f"metric promise.{promise} {len(verdict.violations)}", file=report, flush=True)
    return not verdict.violations


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
