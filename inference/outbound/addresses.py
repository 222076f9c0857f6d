"""Addresses in text: which ones stand there, and text as it is made without those that may not stay.

An address is what some renderer makes a link of: with a scheme, or `www.evil.example`, `evil.example/path`, `//evil.example`,
`me@evil.example`, a host name with a subdomain; spelled with entities, escapes or invisible characters too.
"""

import html
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import regex

LINK_REMOVED = "[link removed]"
#: The most that is held back; a longer run of characters gets a blank here, so that no address spans the cut.
_LONGEST = 2048
_CONTEXT = 256
_SPACE = r" \t\n\r\f\v"
#: Where an address ends: at ASCII blanks (renderers let others be part of it), quotes, tags, East Asian punctuation.
_ENDS = _SPACE + '<>"`\u3000。，、：；！？（）「」『』【】《》'
_RUN = rf"[^{_ENDS}]"
_END = regex.compile(f"[{_ENDS}]")
_SCHEMES = "https?|ftps?|wss?|javascript|vbscript|mailto"
_TOP_LEVEL = (
    "com|net|org|edu|gov|mil|int|info|biz|name|pro|app|dev|page|site|online|xyz|top|club|shop|store|cloud|tech|live|link|"
    "click|space|website|work|world|digital|agency|zip|mov|arpa|example|test|localhost|invalid|[a-z]{2}|xn--[a-z0-9-]+"
)
_LABEL = r"(?:[\w-]++\.)"
#: Everything that some renderer makes a link of, found in normal form. `host` carries nothing but its own name.
_ADDRESS = regex.compile(
    rf"""
    (?<![a-z0-9])(?:{_SCHEMES}):{_RUN}+
  | (?<![a-z0-9])data:(?:[\w+.-]+/[\w+.-]+)?[;,]{_RUN}*
  | (?<![a-z0-9])www\d{{0,3}}\.{_RUN}+
  | (?<![:/\w.])//[\w.-]+\.[^\W\d_]{{2,}}{_RUN}*
  | (?P<inner>(?<=[a-z0-9+.-])://{_RUN}*
    | (?<=[\w-])\.{_LABEL}{{0,8}}[^\W\d_]{{2,24}}\.?(?::\d+)?(?:/{_RUN}*?\w|[?\#]\w){_RUN}*
    | (?<=[\w.+%-])@{_LABEL}{{1,8}}[^\W\d_]{{2,24}}
    | (?P<host>(?<=[\w-])\.{_LABEL}{{1,8}}(?:{_TOP_LEVEL})(?![\w(-])))
    """,
    regex.VERBOSE | regex.IGNORECASE,
)
#: What an address has near its beginning, unless that is a scheme's name.
_SIGN = regex.compile(r"[.:@/\\&]")
_BEGINNINGS = frozenset(
    word[:length] for word in [*_SCHEMES.replace("s?", "s").split("|"), "data", "www"] for length in range(1, 11)
)
_NO_HEAD = regex.compile(r"[^\w.+%-]")
#: Punctuation that no renderer, or not all, take into an address.
_TAIL = ".,;:!?)]}'*_~|"
_CLOSING = _TAIL + '"`>'
_MOST_TAIL = 4
_ENCODED = regex.compile(r"&(?:amp;)*#?\w{1,31};|\\u[0-9a-fA-F]{4}|\\[!-/:-@\[-`{-~]|.", regex.DOTALL)
_TOKEN_WITH_ADDRESS = regex.compile(rf"[^{_SPACE}]*[.:@/&\\][^{_SPACE}]*")


class Normal:
    """A text as its reader's software sees it: entities and escapes resolved, what is invisible left out, NFKC."""

    def __init__(self, raw: str) -> None:
        if raw.isascii() and "&" not in raw and "\\" not in raw:
            self.text, self._origin = raw, None
            return
        parts: list[str] = []
        origin: list[int] = []
        for found in _ENCODED.finditer(raw):
            for character in _resolved(found[0]):
                parts.append(character)
                origin.append(found.start())
        self.text, self._origin = "".join(parts), [*origin, len(raw)]

    def raw_index(self, index: int) -> int:
        """Where in the raw text a position of the normal form lies."""
        return index if self._origin is None else self._origin[index]


def _resolved(piece: str) -> str:
    if len(piece) > 1:
        if piece[0] == "&":
            piece = html.unescape(piece.replace("&amp;", "&"))
        else:
            piece = chr(int(piece[2:], 16)) if piece[1] == "u" else piece[1:]
        # An encoded blank does not end an address as a blank does.
        piece = "".join("\ufffd" if character == " " else character for character in piece if character not in "\t\n\r")
    elif piece == "\\":
        return "/"  # as browsers read it
    if piece.isascii():
        return piece
    visible = "".join(character for character in piece if unicodedata.category(character) not in ("Cf", "Mn"))
    return unicodedata.normalize("NFKC", visible)


@dataclass(frozen=True)
class Allowed:
    """The addresses that an answer may repeat, each exactly as it was written."""

    addresses: frozenset[str]

    @classmethod
    def within(cls, texts: Iterable[str]) -> "Allowed":
        """All that stand in `texts`."""
        return cls(frozenset(address for text in texts for address in _addresses(text)))

    def holds(self, address: str) -> bool:
        """Whether it stands there, as written or as an attribute's entities spell it."""
        return address in self.addresses or ("&" in address and html.unescape(address) in self.addresses)


def _addresses(text: str) -> Iterator[str]:
    for token in _TOKEN_WITH_ADDRESS.finditer(text):
        normal = Normal(token[0])
        for found in _ADDRESS.finditer(normal.text):
            start, end = normal.raw_index(found.start()), normal.raw_index(found.end())
            head = _head(token[0][:start]) if found["inner"] is not None else ""
            yield from _readings(head + token[0][start:end])


def _head(before: str) -> str:
    """The part of an address before its first sign: a scheme, a host's first label, a mailbox."""
    return _NO_HEAD.split(before)[-1]


def _readings(run: str) -> Iterator[str]:
    """The addresses that a run of characters may be meant as: punctuation around it may or may not belong to it."""
    cuts = {len(run), *(run.find(mark) for mark in ("](", "'", "|", "*", "}", "\\", ",http"))}
    cuts |= {index for index in (_unbalanced(run), _first_foreign(run)) if index}
    for cut in sorted(cuts):
        part = run[: max(cut, 0)]
        while part:
            yield part
            yield part.removeprefix("mailto:")
            if part[-1] not in _TAIL:
                break
            part = part[:-1]
    host = regex.match(r"[a-z][a-z0-9+.-]*://([\w.-]+)", run, regex.IGNORECASE)
    if host:
        yield host[1]


def _unbalanced(run: str) -> int | None:
    """Where the first closing bracket without an opening one stands."""
    depth = 0
    for index, character in enumerate(run):
        depth += (character == "(") - (character == ")")
        if depth < 0:
            return index
    return None


def _first_foreign(run: str) -> int | None:
    return next((index for index, character in enumerate(run) if not character.isascii()), None)


def _is_plain(character: str) -> bool:
    return character.isascii() and character.isalnum()


def points_outside(address: str) -> bool:
    """Whether a link's target leads anywhere but to a place of the page itself."""
    text = Normal(address).text.strip()
    return bool(regex.match(r"[a-z][a-z0-9+.-]*:|//|[\w.-]+@", text, regex.IGNORECASE) or _ADDRESS.search(text))


class AddressFilter:
    """Takes addresses that are not allowed out of text as it is made."""

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._held = ""
        self._context = ""
        self._marks_after: str | None = None  # that passed since an address was kept
        self._end_of_tag = ""  # the marks after which no blank is needed

    def take(self, text: str) -> str:
        """What of the text so far can go on."""
        return self._drain(self._held + text, last=False)

    def finish(self) -> str:
        """The rest."""
        return self._drain(self._held, last=True)

    def _drain(self, text: str, *, last: bool) -> str:
        out: list[str] = []
        start = 0
        while start < len(text):
            end = _END.search(text, start)
            stop = end.start() if end else len(text)
            held = self._hold_from(text, start, stop, closed=last or end is not None)
            self._pass(out, text[start:held])
            if stop - held > _LONGEST:
                self._pass_checked(out, text[held : held + _LONGEST])
                self._pass(out, " ")
                start = held + _LONGEST
            elif end is None and not last:
                self._held = text[held:]
                return "".join(out)
            else:
                self._pass_checked(out, text[held:stop])
                self._pass(out, end[0] if end else "")
                start = stop + 1
        self._held = ""
        return "".join(out)

    def _pass(self, out: list[str], text: str) -> None:
        if text:
            out.append(self._parted(text))
            self._context = (self._context + out[-1])[-_CONTEXT:]

    def _parted(self, text: str) -> str:
        """With a blank after a kept address and a little punctuation: renderers differ in where they end one."""
        if self._marks_after is None:
            return text
        for index, character in enumerate(text):
            if character in _CLOSING and len(self._marks_after) < _MOST_TAIL and not self._reopens(character):
                self._marks_after += character
                if self._marks_after != self._end_of_tag:
                    continue
                self._marks_after = None
                return text
            self._marks_after = None
            return text if character in " \t\n\r\f\v<" else f"{text[:index]} {text[index:]}"
        return text

    def _reopens(self, character: str) -> bool:
        """A second quotation mark opens a text, as in JSON without blanks."""
        return character == '"' and '"' in (self._marks_after or "")

    def _pass_checked(self, out: list[str], run: str) -> None:
        if not run:
            return
        text, kept = self._checked(run)
        self._pass(out, text)
        if kept:
            self._marks_after = ""

    def _hold_from(self, text: str, start: int, stop: int, *, closed: bool) -> int:
        """Where in a run of characters an address may begin."""
        sign = _SIGN.search(text, start, stop)
        if sign is None and closed:
            return stop
        at = sign.start() if sign else stop
        letters = at
        while letters > start and _is_plain(text[letters - 1]):
            letters -= 1
        before = text[letters - 1 : letters] if letters > start else self._context[-1:]
        return letters if text[letters:at].lower() in _BEGINNINGS and not _is_plain(before) else at

    def _checked(self, run: str) -> tuple[str, bool]:
        """A run of characters without the addresses that may not stay; whether it ends with one that may."""
        out, kept = "", False
        while run:
            before = (self._context + out)[-_CONTEXT:]
            seen, normal = Normal(before).text, Normal(run)
            found = _ADDRESS.search(seen + normal.text, len(seen))
            if found is None:
                return out + run, False
            start, end = (normal.raw_index(index - len(seen)) for index in found.span())
            before += run[:start]
            instead, left, kept = self._judge(before, run[start:end], found)
            out += run[:start] + instead
            run = left + run[end:]
            # What `markup` left between angle brackets or in a tag ends there for everybody.
            self._end_of_tag = '">' if before.endswith('<a href="') else ">" if before.endswith("<") else ""
        return out, kept

    def _judge(self, before: str, address: str, found: "regex.Match[str]") -> tuple[str, str, bool]:
        """(what becomes of an address, what of it is looked at again, whether it stays)."""
        later = ""
        if before.endswith("[") and not before.endswith("\\[") and "](" in address:
            # A link whose text is an address too.
            address, mark, later = address.partition("](")
            later = mark + later
        head = _head(before) if found["inner"] is not None else ""
        ends = [len(address), _first_foreign(address)]
        if before.endswith("]("):
            ends.append(_unbalanced(address))
        for end in ends:
            if end and self._may_stay(head, address[:end]):
                rest = address[end:]
                marks = rest[: min(_MOST_TAIL, len(rest) - len(rest.lstrip(_TAIL)))]
                parted = address[:end] + marks + (" " if rest[len(marks) :] else "")
                return parted, rest[len(marks) :] + later, True
        if found["host"] is not None and "." in address:
            name, _, top = address.rpartition(".")
            return f"{name}. {top}", later, False
        return LINK_REMOVED + address[len(address.rstrip(_TAIL)) :], later, False

    def _may_stay(self, head: str, address: str) -> bool:
        """Whether it is allowed, but for a little punctuation after it."""
        bare = address.rstrip(_TAIL)
        most = min(len(address) - len(bare), _MOST_TAIL)
        return any(head + address[: len(address) - cut] in self._allowed.addresses for cut in range(most + 1))
