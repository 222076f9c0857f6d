"""A walk over every page that somebody can reach by links, each looked at by day and by night,
at a desk and on a phone."""

import re
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

from playwright.sync_api import Error

from tests.browser.chromium import DESK, PHONE, Person

#: An id in an address.
ONE = re.compile(r"(?<=/)([0-9a-f]{8}-[0-9a-f-]{27}|\w+[-_][0-9a-f]{32}|\d+)(?=/|$)")
#: Addresses that change something, or lead out.
_PASSED_BY = re.compile(r"/admin/(logout|r|jsi18n)/")
#: Pages that axe reads with the menu, at both widths in both themes; of the others it reads what is not the menu, at a
#: desk by day and on a phone by night, which have all rules of the stylesheets, in a third of the time.
_MAIN = (
    "/admin/",
    "/admin/playground/",
    "/admin/usage/",
    "/admin/inference/generation/",
    "/admin/tenants/apikey/",
    "/admin/tenants/apikey/add/",
)
_FILES = re.compile(r"/(download|export|csv|json)s?(/|$)|\.(csv|json|xlsx|parquet|jsonl)$|[?&](export|format)=")


@dataclass
class Walk:
    """What was seen: an address for each shape of one, files to download, and what is wrong with pages."""

    seen: dict[str, str] = field(default_factory=dict)
    #: Where those addresses led in the end.
    ended: set[str] = field(default_factory=set)
    files: set[str] = field(default_factory=set)
    refused: list[str] = field(default_factory=list)
    too_wide: list[str] = field(default_factory=list)
    inaccessible: list[str] = field(default_factory=list)


def shape_of(address: str) -> str:
    """The address with a placeholder for each id."""
    return ONE.sub("<id>", urlsplit(address).path)


def walk(person: Person, *, start: str = "/admin/") -> Walk:
    """From `start` along all links, one address of each shape."""
    found, waiting = Walk(), deque([start])
    while waiting:
        address = waiting.popleft()
        shape = shape_of(address)
        if shape in found.seen or _PASSED_BY.search(shape):
            continue
        if _FILES.search(address):
            found.files.add(address)
            continue
        found.seen[shape] = address
        try:
            status = person.goes(address)
        except Error as error:
            if "Download is starting" not in str(error):
                raise
            found.files.add(address)
            continue
        if status != 200:
            found.refused.append(f"{shape}: {status}")
            continue
        found.ended.add(person.path)
        waiting.extend(_links(person))
        _look(person, shape, found)
    return found


def _links(person: Person) -> Iterator[str]:
    hrefs = person.page.eval_on_selector_all("a[href]", "links => links.map(link => link.getAttribute('href'))")
    for href in hrefs:
        address = urlsplit(urljoin(person.page.url, href))
        if address.netloc == urlsplit(person.url).netloc and address.path.startswith("/admin/"):
            yield f"{address.path}?{address.query}" if address.query else address.path


def _look(person: Person, shape: str, found: Walk) -> None:
    main = shape in _MAIN
    for scheme, looked_at in (("light", DESK), ("dark", PHONE)):
        if scheme == "dark":
            person.page.emulate_media(color_scheme="dark")
            person.page.evaluate("document.documentElement.classList.add('dark')")  # unfold looks when a page loads
        for viewport in (DESK, PHONE):
            person.page.set_viewport_size(viewport)  # type: ignore[arg-type]
            where = f"{shape} ({viewport['width']} px, {scheme})"
            if (pixels := person.overflow()) > 0:
                found.too_wide.append(f"{where}: by {pixels} px")
            if main or viewport is looked_at:
                found.inaccessible += [f"{where}: {finding}" for finding in person.findings(menu=main)]
    person.page.set_viewport_size(DESK)  # type: ignore[arg-type]
    person.page.emulate_media(color_scheme="light")
