"""`make screenshots`: the desk's main pages over a running demo, by day and by night, small enough for the README.

    python -m tests.browser.screenshots [folder]

Written are `<page>-<light|dark>.png`, 1280 px wide, with at most 160 colours each.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image

from config.demo.questions import QUESTIONS
from config.supervisor import ROOT
from tests.browser.chromium import Person, chromium

FOLDER = Path(__file__).parent / "screens"
_COLOURS, _MOST_BYTES = 160, 120_000
_LOG_IN = re.compile(r"^Admin +(\S+)/admin/ +(\S+) / (\S+)$", re.MULTILINE)


def main(arguments: list[str]) -> int:
    """0 where each picture was taken and is small."""
    folder = Path(arguments[0]) if arguments else FOLDER
    with _demo() as (url, email, password), chromium() as browser:
        for scheme in ("light", "dark"):
            person = Person(browser, url, scheme=scheme)
            person.logs_in(email, password)
            for name, opens in PAGES.items():
                opens(person)
                _take(person, folder / f"{name}-{scheme}.png")
            person.leaves()
    large = [path.name for path in folder.glob("*.png") if path.stat().st_size > _MOST_BYTES]
    print(f"{len(PAGES) * 2} pictures in {folder}", *(f"too large: {name}" for name in large), sep="\n")
    return 1 if large else 0


@contextmanager
def _demo() -> Iterator[tuple[str, str, str]]:
    """`make demo` with data of its own; its address and log-in."""
    (ROOT / "var").mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(dir=ROOT / "var", prefix="screens-", ignore_cleanup_errors=True) as var:
        environment = {**os.environ, "ATRIUM_VAR": var, "ATRIUM_PORT": "0", "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, "-m", "config.demo.run"]
        demo = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True)
        assert demo.stdout is not None
        try:
            told = ""
            for line in demo.stdout:
                told += line
                if line.startswith("Serving"):
                    break
            found = _LOG_IN.search(told)
            if not found:
                raise RuntimeError(f"the demo did not get to its end:\n{told}")
            yield found[1], found[2], found[3]
        finally:
            demo.send_signal(signal.SIGTERM)
            demo.wait()


def _take(person: Person, path: Path) -> None:
    person.photographs(path)
    with Image.open(path) as image:
        few = image.convert("RGB").quantize(_COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def _home(person: Person) -> None:
    person.goes("/admin/")


def _request(person: Person) -> None:
    """What the playground's answer was made from, and how."""
    person.goes("/admin/inference/generation/")
    person.page.locator("#result_list a").first.click()
    person.settles()


def _store(person: Person) -> None:
    person.goes("/admin/knowledge/vectorstore/")
    person.page.get_by_role("link", name="Handbook").first.click()
    person.settles()


def _playground(person: Person) -> None:
    """With an answer and what it was made from."""
    person.goes("/admin/playground/")
    person.page.get_by_label("Model", exact=True).select_option("local-extractive")
    person.page.get_by_label("Message").fill(QUESTIONS[0].text)
    person.page.get_by_role("button", name="Send").click()
    person.page.locator("#turns[aria-busy=false] a").first.wait_for()
    person.page.evaluate("document.querySelector('main, #main')?.scrollTo(0, 0); scrollTo(0, 0)")


PAGES: dict[str, Callable[[Person], None]] = {
    "home": _home,
    "playground": _playground,
    "request": _request,
    "store": _store,
}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
