"""How long one tenant's document takes while another has hundreds queued, beside its time alone.

    python -m tests.bench.fairness

Prints `metric fairness.ratio`: the median over a few documents of the small tenant, waited for one after another.
"""

import sys
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from statistics import median

import openai

from tests.bench.atrium import running_atrium

QUEUED = 500
SAMPLES = 5
_PARAGRAPH = "The mount is aligned on the pole star, and the drift is measured for {} minutes before each night. "


def main() -> int:
    """Run and print; 0 always, for a timing judges nothing by itself."""
    with running_atrium() as atrium:
        big, small = (
            openai.OpenAI(base_url=f"{atrium.url}/v1", api_key=atrium.tenant(slug)) for slug in ("many", "few")
        )
        with big, small:
            home = small.vector_stores.create(name="small").id
            _ingest(small, home, 0)
            alone = median(_ingest(small, home, number) for number in range(1, 1 + SAMPLES))
            crowd = big.vector_stores.create(name="big").id
            with ThreadPoolExecutor(4) as pool:
                list(pool.map(lambda number: _attach(big, crowd, number), range(QUEUED)))
            crowded = median(_ingest(small, home, 100 + number) for number in range(SAMPLES))
            counts = big.vector_stores.retrieve(crowd).file_counts
    print(f"alone {alone:.2f} s; while {counts.in_progress} of another tenant's {QUEUED} waited {crowded:.2f} s")
    print(f"metric fairness.ratio {crowded / alone:.2f}")
    return 0


def _attach(client: openai.OpenAI, store: str, number: int) -> str:
    """Upload a document of some 600 words and attach it; returns the file's id."""
    text = f"# Night {number}\n\n" + "".join(_PARAGRAPH.format(minute + number) for minute in range(30))
    file = client.files.create(file=(f"night-{number}.md", BytesIO(text.encode())), purpose="assistants")
    client.vector_stores.files.create(store, file_id=file.id)
    return file.id


def _ingest(client: openai.OpenAI, store: str, number: int) -> float:
    """Seconds from the attachment to its completion."""
    started = time.monotonic()
    file = _attach(client, store, number)
    while client.vector_stores.files.retrieve(file, vector_store_id=store).status == "in_progress":
        time.sleep(0.02)  # the API is polled, as a customer's app would
    return time.monotonic() - started


if __name__ == "__main__":
    sys.exit(main())
