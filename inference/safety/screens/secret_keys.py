"""Secrets: keys and tokens of well-known services, private keys, passwords in addresses and in settings.

By each provider's form, its checksum where it has one (GitHub, npm, JSON web tokens), and by entropy where the form says
little. A secret without a form of its own is found only where it is called one (`password = …`), and a password that is a
word is not found at all. The window is that of a private key: 8,192 characters, held back only from `-----BEGIN` on; of
everything else, the run of characters that may become a token.
"""

import base64
import binascii
import math
import string
import zlib
from collections import Counter
from collections.abc import Callable

import orjson
import regex

from .anchored import AnchoredScreen, Pattern, always

API_KEY, ACCESS_TOKEN, PRIVATE_KEY, PASSWORD = "API_KEY", "ACCESS_TOKEN", "PRIVATE_KEY", "PASSWORD"
_WORD = regex.compile(r"[A-Za-z0-9_\-]")
_BASE62 = string.digits + string.ascii_uppercase + string.ascii_lowercase
_LEAST_BITS = 3.0
_MOST_OF_A_KEY = 8_192


def _bits(text: str) -> float:
    """Shannon entropy a character."""
    return -sum(count / len(text) * math.log2(count / len(text)) for count in Counter(text).values())


def _looks_random(text: str) -> bool:
    return _bits(text) >= _LEAST_BITS and any(map(str.isdigit, text)) and any(map(str.isalpha, text))


def _github(token: str) -> bool:
    """The last six characters are the CRC-32 of the thirty before, in base 62."""
    _, _, rest = token.partition("_")
    check, number = "", zlib.crc32(rest[:-6].encode())
    while number:
        number, digit = divmod(number, 62)
        check = _BASE62[digit] + check
    return rest[-6:] == check.rjust(6, "0")


def _json_web_token(token: str) -> bool:
    head = token.partition(".")[0]
    try:
        decoded = orjson.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (binascii.Error, ValueError):
        return False
    return isinstance(decoded, dict) and "alg" in decoded


def _assigned(value: str) -> bool:
    """The value of a setting: neither a placeholder nor a word."""
    return not value.startswith(("${", "$(", "<", "{{", "%(")) and _looks_random(value)


def _pattern(
    category: str,
    anchors: str,
    rest: str,
    *,
    window: int = 300,
    valid: Callable[[str], bool] = always,
) -> Pattern:
    names = anchors.split()
    begins = "|".join(map(regex.escape, sorted(names, key=len, reverse=True)))
    compiled = regex.compile(rf"(?:{begins}){rest}(?![A-Za-z0-9_])")
    return Pattern(category, names, compiled, window, valid, _WORD)


def _in_cases(words: str) -> list[str]:
    return sorted({form for word in words.split() for form in (word, word.upper(), word.capitalize())})


_NAMES = _in_cases(
    "password passwd passphrase secret token api_key api-key apikey access_key access-key access-token credential"
)
_KIND_OF_KEY = r"(?:[A-Z0-9]{1,20} ){0,4}PRIVATE KEY(?: BLOCK)?-----"
_KEY_BEGINS = rf"-----BEGIN {_KIND_OF_KEY}"
_KEY_ENDS = rf"(?:[A-Za-z0-9+/=\\\s:.,()]++|-(?!----))*+-----END {_KIND_OF_KEY}"
_PATTERNS = [
    _pattern(API_KEY, "AKIA ASIA", r"[A-Z2-7]{16}+"),
    _pattern(ACCESS_TOKEN, "ghp_ gho_ ghu_ ghs_ ghr_", r"[A-Za-z0-9]{36}+", valid=_github),
    _pattern(ACCESS_TOKEN, "github_pat_", r"[A-Za-z0-9]{22}_[A-Za-z0-9]{59}+"),
    _pattern(ACCESS_TOKEN, "npm_", r"[A-Za-z0-9]{36}+", valid=_github),
    _pattern(ACCESS_TOKEN, "glpat-", r"[A-Za-z0-9_\-.]{20,64}+"),
    _pattern(ACCESS_TOKEN, "xoxa- xoxb- xoxp- xoxr- xoxs- xoxe-", r"[A-Za-z0-9\-]{10,250}+", valid=_looks_random),
    _pattern(ACCESS_TOKEN, "https://hooks.slack.com/services/", r"T[A-Z0-9]{8,12}/B[A-Z0-9]{8,12}/[A-Za-z0-9]{20,32}+"),
    _pattern(API_KEY, "sk_live_ sk_test_ rk_live_ rk_test_ whsec_", r"[A-Za-z0-9+/=]{16,250}+", valid=_looks_random),
    _pattern(API_KEY, "sk- pk-", r"[A-Za-z0-9_\-]{20,220}+", valid=_looks_random),
    _pattern(API_KEY, "AIza", r"[A-Za-z0-9_\-]{35}+"),
    _pattern(ACCESS_TOKEN, "ya29.", r"[A-Za-z0-9_\-]{20,250}+"),
    _pattern(API_KEY, "AccountKey= SharedAccessKey=", r"[A-Za-z0-9+/]{43,86}+={1,2}+"),
    _pattern(API_KEY, "hf_", r"[A-Za-z0-9]{34,40}+", valid=lambda text: _bits(text) >= _LEAST_BITS),
    _pattern(API_KEY, "SG.", r"[A-Za-z0-9_\-]{22}\.[A-Za-z0-9_\-]{43}+"),
    _pattern(ACCESS_TOKEN, "dop_v1_ doo_v1_ dor_v1_", r"[a-f0-9]{64}+"),
    _pattern(ACCESS_TOKEN, "pypi-AgEIcHlwaS5vcmc", r"[A-Za-z0-9_\-]{50,200}+"),
    _pattern(ACCESS_TOKEN, "shpat_ shpss_ shpca_ shppa_", r"[a-fA-F0-9]{32}+"),
    _pattern(ACCESS_TOKEN, "eyJ", r"[A-Za-z0-9_\-]{8,2000}+\.eyJ[A-Za-z0-9_\-]{8,4000}+\.[A-Za-z0-9_\-]{16,1500}+",
             window=_MOST_OF_A_KEY, valid=_json_web_token),
    Pattern(
        PRIVATE_KEY,
        ["-----BEGIN "],
        # Where its end is missing, what looks like a key.
        regex.compile(rf"{_KEY_BEGINS}(?:{_KEY_ENDS}|(?:\s|\\[rn]|[A-Za-z0-9+/=]{{40,100}}+(?=\s|\\|\Z))*+)"),
        _MOST_OF_A_KEY,
        growing=regex.compile(_KEY_BEGINS + _KEY_ENDS),
    ),
    Pattern(
        PASSWORD,
        ["://"],
        regex.compile(r"://[^\s:/@\"'<>]{1,64}+:(?P<value>(?![/$<{])[^\s:/@\"'<>]{3,128}+)@(?=[A-Za-z0-9\[])"),
        220,
    ),
    Pattern(
        PASSWORD,
        _NAMES,
        regex.compile(
            rf"(?:{'|'.join(_NAMES)})[A-Za-z0-9_\-]{{0,24}}+[\"'`]?[ \t]{{0,4}}(?::=|=>|=|:)[ \t]{{0,4}}"
            r"(?:\"(?P<value>[^\"\s]{12,128}+)\"|'(?P<value>[^'\s]{12,128}+)'|`(?P<value>[^`\s]{12,128}+)`"
            r"|(?P<value>[A-Za-z0-9_+/=.~!@#$%^&*\-]{12,128}+))"
        ),
        200,
        valid=_assigned,
    ),
]  # fmt: skip


def secrets_screen() -> AnchoredScreen:
    """The screen; it reads texts as they are written."""
    return AnchoredScreen(_PATTERNS, normal=False)
