"""`make bench`: Atrium beside what it is measured against, in one run; one `metric <name> <value>` line per figure."""

import subprocess
import sys

#: In this order, each in a process of its own: they set up different stacks.
BENCHES = (
    "tests.bench.fairness",
    "tests.bench.fairness_calls",
    "tests.bench.ingestion",
    "tests.bench.retrieval",
    "tests.bench.gateway",
)


def main() -> int:
    """Run them all; the exit status is the worst."""
    return max(subprocess.run([sys.executable, "-m", bench], check=False).returncode for bench in BENCHES)


if __name__ == "__main__":
    sys.exit(main())
