"""What a client would make of an answer: the images and links that the most generous of renderers show.

Independent of the code under test: markdown-it with raw HTML and its linkifier, and GitHub's rule for bare addresses.
"""

import re
from html.parser import HTMLParser

from markdown_it import MarkdownIt

FETCHING = {"img", "script", "style", "iframe", "object", "link", "form", "svg", "base", "meta", "video"}


class Pointers(HTMLParser):
    """Every attribute's value that a browser would fetch or follow, and every tag that does so by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.others: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value for name, value in attrs if value}
        if tag == "a":
            self.links += [given.pop("href", None) or ""]
        # <code class="language-…"> is the renderer's own; <https://…> within HTML is a tag of no meaning.
        if tag in FETCHING or (given and tag != "code" and not tag.endswith(":")):
            self.others.append(f"{tag} {given}")


def pointers(text: str) -> Pointers:
    """As the most generous of renderers shows it: raw HTML, bare addresses made links, known schemes or not."""
    renderer = MarkdownIt("commonmark", {"html": True, "linkify": True}).enable(["linkify", "table", "strikethrough"])
    found = Pointers()
    found.feed(renderer.render(text))
    return found


def autolinks(text: str) -> list[str]:
    """What GitHub's rules make links of: up to a blank or a tag, punctuation at the end left off; `www.` begins none
    within a word."""
    text = re.sub(
        r"""<a href="[^"<>]*">|<[^\s<>]+:[^\s<>]*>|\[[^\[\]]*\]\([^\s()]*(\([^\s()]*\)[^\s()]*)?\)""", " ", text
    )
    return [
        found.rstrip("?!.,:*_~'\")]}|;`>") for found in re.findall(r"(?i)(?:https?://|(?<![a-z0-9])www\.)[^\s<]+", text)
    ]
