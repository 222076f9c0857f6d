"""Markdown and HTML in an answer drawn from documents: images, links and tags undone.

Markup is recognised more widely than any one renderer does, and undone so that none sees it: by leaving the target
out, or by a blank where a renderer allows none. What is not decided yet is held back, but never more than a bound.
"""

import re
from collections.abc import Callable

import regex

from .addresses import LINK_REMOVED, Allowed, points_outside

IMAGE_REMOVED = "[image removed]"
_MOST_ALT = 500
_MOST_TARGET = 2048
_MOST_TAG = 2048
_MOST_NAME = 40
#: A tag as long as this without an attribute's value is a sentence with a less-than sign.
_MOST_WITHOUT_VALUE = 80

_TRIGGER = re.compile(r"!(?=\[|\Z)|\](?=[(:]|\Z)|<(?=[A-Za-z/!?]|\Z)")
_TARGET = re.compile(
    r"""\(\s*(?:<(?P<angle>[^<>\n]*)>|(?P<plain>[^\s<]\S*)?)(?:\s+(?:"[^"]*"|'[^']*'|\([^()]*\)))?\s*\)""", re.DOTALL
)
#: A line with nothing but marks of lists and quotations before a label; a label has up to 999 characters.
_LABEL = re.compile(r"(?:\A|\n)[\s>*+\-\d.)]*\[(?:[^\[\]\\]|\\.)*\Z", re.DOTALL)
_MOST_BEFORE = 1200
_FRAGMENT = re.compile(r"#[\w-]*")
#: `x[0](event)` is code; a path or a query is a link to the page's own site, which may send it on.
_PATH = re.compile(r"[/\\?&=%]")
_NAME = re.compile(r"</?([A-Za-z][A-Za-z0-9-]*)")
_TAG = regex.compile(
    r"""<[A-Za-z][A-Za-z0-9-]*+(?:[\s/]++(?:[^\s"'<>/=]++(?:\s*+=\s*+(?:"[^"]*+"|'[^']*+'|[^\s"'=<>`]++))?+)?+)*+>"""
)
_ATTRIBUTE = re.compile(r"""[\s/]([^\s"'<>/=]+)\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'=<>`]+))""")
_AUTOLINK = re.compile(rf"<([^\s<>]{{0,{_MOST_TARGET}}})>")
_BLANK_OR_MARK = re.compile(r"[\s<>]")
_MARK_OF_TAG = re.compile(r"[<>=]")
_IMAGES = frozenset(["img", "image", "picture"])
#: They fetch, run, style or frame something, or send a form somewhere.
_FORBIDDEN_NAMES = """
    a applet area audio base bgsound body button embed fencedframe form frame frameset head html iframe input isindex
    keygen link map math meta noembed noscript object option param plaintext portal script select slot source style svg
    template textarea title track video xml xmp foreignobject use animate set feimage marquee dialog
"""
_HARMLESS_NAMES = """
    abbr address article aside b bdi bdo blockquote br caption center cite code col colgroup data dd del details dfn div
    dl dt em figcaption figure font footer h1 h2 h3 h4 h5 h6 header hgroup hr i ins kbd label legend li main mark menu
    meter nav nobr ol optgroup output p pre progress q rp rt ruby s samp section small span strike strong sub summary
    sup table tbody td tfoot th thead time tr tt u ul var wbr
"""
_FORBIDDEN = _IMAGES | frozenset(_FORBIDDEN_NAMES.split())
_HARMLESS = frozenset(_HARMLESS_NAMES.split())

#: (text that is settled, text to look at again), or None: more must come first.
Step = tuple[str, str] | None


class MarkupFilter:
    """Undoes images, links and tags in text as it is made."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._held = ""
        self._before = ""
        self._steps: dict[str, Callable[[str, bool], Step]] = {"!": self._image, "]": self._bracket, "<": self._tag}

    def take(self, text: str) -> str:
        """What of the text so far can go on."""
        self._held += text
        return self._drain(last=False)

    def finish(self) -> str:
        """The rest."""
        return self._drain(last=True)

    def _drain(self, *, last: bool) -> str:
        out: list[str] = []
        while self._held:
            found = _TRIGGER.search(self._held)
            start = found.start() if found else len(self._held)
            self._pass(out, self._held[:start])
            self._held = self._held[start:]
            if not self._held:
                break
            step = self._steps[self._held[0]](self._held, last)
            if step is None:
                break
            self._pass(out, step[0])
            self._held = step[1]
        return "".join(out)

    def _pass(self, out: list[str], text: str) -> None:
        if text:
            out.append(text)
            self._before = (self._before + text)[-_MOST_BEFORE:]

    def _instead(self, text: str, rest: str) -> Step:
        """`text` in the place of markup, looked at again: what stood apart must not become markup by its going."""
        apart = " " if self._before.endswith(("!", "]", "<", "\\", "&")) else ""
        return apart, text + rest

    # Markdown ---------------------------------------------------------------------------------------------------------

    def _image(self, held: str, last: bool) -> Step:
        if held[1:2] != "[":
            return ("!", "") if last else None
        end = _closing(held, 1, "[]", _MOST_ALT, last)
        if end is None:
            return None
        if end < 0:
            return "! ", held[1:]
        alt, follows = held[2:end], held[end + 1 : end + 2]
        if not follows and not last:
            return None
        if follows in ("(", "["):
            target_end = _closing(held, end + 1, "()" if follows == "(" else "[]", _MOST_TARGET, last)
            if target_end is None:
                return None
            rest = held[max(target_end, end) + 1 :]
            return self._instead(alt, rest) if alt.strip() else (IMAGE_REMOVED, rest)
        # A mark of exclamation before a citation, or an image by reference.
        return ("!", held[1:]) if alt.isdecimal() else self._instead("", held[1:])

    def _bracket(self, held: str, last: bool) -> Step:
        if held[1:2] == "(":
            return self._target(held, last)
        if held[1:2] == ":":
            return self._definition(held)
        return ("]", "") if last else None

    def _target(self, held: str, last: bool) -> Step:
        end = _closing(held, 1, "()", _MOST_TARGET, last)
        if end is None:
            return None
        found = _TARGET.fullmatch(held, 1, end + 1) if end > 0 else None
        if found is None:
            return "] ", held[1:]
        target = found["angle"] if found["angle"] is not None else found["plain"] or ""
        if self._allowed.holds(target) or _FRAGMENT.fullmatch(target):
            return f"]({target})", held[end + 1 :]
        if not target or _PATH.search(target) or points_outside(target):
            return "", "]" + held[end + 1 :]
        return "] ", held[1:]

    def _definition(self, held: str) -> Step:
        """`[label]: target` where a line begins defines a link; elsewhere it is a citation before a colon."""
        return ("] ", held[1:]) if _LABEL.search(self._before) else ("]:", held[2:])

    # HTML -------------------------------------------------------------------------------------------------------------

    def _tag(self, held: str, last: bool) -> Step:
        if held[1:2] in ("!", "?"):
            return "< ", held[1:]
        name = _NAME.match(held)
        if name is None:
            # Half of a tag, or a less-than sign.
            return None if not last and held in ("<", "</") else ("<", held[1:])
        follows = held[name.end() : name.end() + 1]
        if not follows and not last and name.end() <= _MOST_NAME:
            return None
        if not follows or name.end() > _MOST_NAME or (held[1] == "/" and follows != ">"):
            return "< ", held[1:]
        if follows == ">":
            return self._bare_tag(held, name)
        if follows.isspace() or follows == "/":
            return self._tag_with_attributes(held, name, last)
        return self._autolink(held, last) if follows in ":@.+" else self._no_tag(held, last)

    def _no_tag(self, held: str, last: bool) -> Step:
        """A less-than sign before a name, as in Map<String, int>: left alone where it is closed without a value."""
        mark = _MARK_OF_TAG.search(held, 1, _MOST_WITHOUT_VALUE)
        if mark is None and not last and len(held) < _MOST_WITHOUT_VALUE:
            return None
        return ("<", held[1:]) if mark and mark[0] == ">" else ("< ", held[1:])

    def _bare_tag(self, held: str, found: "re.Match[str]") -> Step:
        name, rest = found[1].lower(), held[found.end() + 1 :]
        if name in _IMAGES:
            return (IMAGE_REMOVED, rest) if held[1] != "/" else self._instead("", rest)
        if name in _FORBIDDEN and not (name == "a" and held[1] == "/"):
            return self._instead("", rest)
        return held[: found.end() + 1], rest

    def _tag_with_attributes(self, held: str, found: "re.Match[str]", last: bool) -> Step:
        name = found[1].lower()
        if name not in _FORBIDDEN and name not in _HARMLESS:
            return self._no_tag(held, last)
        whole = _TAG.match(held[:_MOST_TAG], partial=True)
        if whole is None or ("=" not in whole[0][:_MOST_WITHOUT_VALUE] and len(whole[0]) > _MOST_WITHOUT_VALUE):
            return "< ", held[1:]
        if whole.partial:
            return ("< ", held[1:]) if last or len(held) >= _MOST_TAG else None
        rest = held[whole.end() :]
        given = {match[1].lower(): match[2] or match[3] or match[4] or "" for match in _ATTRIBUTE.finditer(whole[0])}
        if name in _IMAGES:
            alt = given.get("alt", "").strip()
            return self._instead(alt, rest) if alt else (IMAGE_REMOVED, rest)
        if name == "a" and '"' not in given.get("href", '"') and self._allowed.holds(given["href"]):
            return f'<a href="{given["href"]}">', rest
        if name in _FORBIDDEN:
            return self._instead("", rest)
        return f"<{found[1]}>", rest

    def _autolink(self, held: str, last: bool) -> Step:
        found = _AUTOLINK.match(held)
        if found is None:
            ended = _BLANK_OR_MARK.search(held, 1) is not None or len(held) > _MOST_TARGET + 1
            return ("< ", held[1:]) if last or ended else None
        address, rest = found[1], held[found.end() :]
        if self._allowed.holds(address):
            return found[0], rest
        return (LINK_REMOVED, rest) if points_outside(address) else ("< ", held[1:])


def _closing(text: str, start: int, pair: str, most: int, last: bool) -> int | None:
    """Where the bracket that opens at `start` is closed; -1: nowhere within bounds; None: not yet."""
    depth, escaped = 0, False
    for index in range(start, min(len(text), start + most)):
        character = text[index]
        if escaped:
            escaped = False
        elif character == "\\":
            escaped = True
        elif character == "\n" and text[start:index].rpartition("\n")[2].strip() == "" and "\n" in text[start:index]:
            return -1  # a blank line ends every paragraph
        elif character in pair:
            depth += 1 if character == pair[0] else -1
            if depth == 0:
                return index
    return None if not last and len(text) < start + most else -1
