"""Chromium, and a person who sits at it: what she presses is counted, what goes wrong behind the page is noted."""

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

DESK, PHONE = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
_LOUD = ("serious", "critical")
#: Presses that are clicks to a person: the pointer's, Enter anywhere, the space bar on what it activates.
_COUNT = """
addEventListener("pointerdown", (event) => event.isTrusted && window.notePress?.(), true);
addEventListener("keydown", (event) => {
  if (!event.isTrusted || event.repeat) return;
  const control = event.target instanceof Element && event.target.closest("a, button, input, select, summary, [role]");
  const pressed = ["checkbox", "radio", "submit", "button"].includes(event.target.type) || !event.target.matches("input");
  if (control && (event.key === "Enter" || (event.key === " " && pressed))) window.notePress?.();
}, true);
"""


def executable() -> str:
    """Where Chromium is.

    Raises:
        RuntimeError: nowhere; says how to get it.
    """
    found = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if not found:
        raise RuntimeError("Chromium is missing: apt-get install chromium (or CHROMIUM=/path/to/it)")
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window."""
    path = executable()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield browser
        browser.close()


class Person:
    """Somebody at a browser of her own, with its page, her presses, and what went wrong."""

    def __init__(self, browser: Browser, url: str, *, scheme: str = "light", viewport: dict[str, int] = DESK) -> None:
        self.url = url
        self.context: BrowserContext = browser.new_context(
            base_url=url, viewport=viewport, color_scheme=scheme, accept_downloads=True
        )
        self.context.set_default_timeout(60_000)
        self.context.grant_permissions(["clipboard-read", "clipboard-write"])
        self.presses = 0
        self.context.expose_binding("notePress", lambda _: self._press())
        self.context.add_init_script(_COUNT)
        self.troubles: list[str] = []
        self.context.on("request", self._note_host)
        self.page: Page = self.context.new_page()
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.troubles.append(f"{self.path}: {error}"))

    @property
    def path(self) -> str:
        """Where she is."""
        return urlsplit(self.page.url).path

    def _press(self) -> None:
        self.presses += 1

    def _note_host(self, request: object) -> None:
        address = urlsplit(request.url)  # type: ignore[attr-defined]
        if address.scheme in ("http", "https", "ws", "wss") and address.netloc != urlsplit(self.url).netloc:
            self.troubles.append(f"{self.path}: asked {address.netloc}")

    def _note_console(self, message: object) -> None:
        text = message.text  # type: ignore[attr-defined]
        # A refused answer is what some tests are after; what the page makes of it, they look at.
        if message.type == "error" and "Failed to load resource" not in text:  # type: ignore[attr-defined]
            self.troubles.append(f"{self.path}: {text}")

    def goes(self, path: str) -> int:
        """Open a page; returns its status."""
        answer = self.page.goto(path)
        self.settles()
        return answer.status if answer else 0

    def settles(self) -> None:
        """The page is loaded, with its fonts, and its modules have run."""
        self.page.wait_for_load_state("load")
        self.page.evaluate("document.fonts.ready.then(() => new Promise(requestAnimationFrame))")

    def logs_in(self, email: str, password: str) -> None:
        """By the form."""
        self.goes("/admin/login/")
        self.page.locator("input[name=username], input[name=login]").fill(email)
        self.page.locator("input[name=password]").fill(password)
        self.page.locator("form:has(input[name=password]) [type=submit]:visible").first.click()
        self.page.wait_for_url(lambda url: "/login/" not in url)
        self.settles()
        self.presses = 0

    def overflow(self) -> int:
        """By how many pixels the page is wider than its window, once its charts have followed the window."""
        wider = "document.documentElement.scrollWidth - window.innerWidth"
        # Not by `wait_for_function`, which evaluates a string in the page, as its policy forbids.
        deadline = time.monotonic() + 1.5
        while (pixels := self.page.evaluate(wider)) > 0 and time.monotonic() < deadline:
            self.page.wait_for_timeout(50)
        return pixels

    def findings(self, *, menu: bool = True) -> list[str]:
        """What axe has against the page, of what is serious; of a list it reads the first rows, which are like the rest."""
        left_out = [["tbody tr:nth-child(n+9)"], *([] if menu else [["#nav-sidebar"]])]
        found = Axe().run(self.page, context={"exclude": left_out}).response["violations"]
        return [
            f"{one['id']}: {'; '.join(str(node['target'][0]) for node in one['nodes'][:3])}"
            for one in found
            if one["impact"] in _LOUD
        ]

    def photographs(self, to: Path) -> None:
        """The window as she sees it."""
        to.parent.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=str(to))

    def leaves(self) -> None:
        """Close the browser."""
        self.context.close()
