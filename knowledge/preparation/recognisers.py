"""What personal data is looked for: forms that are checked by their checksum where the kind has one.

The names of the kinds are those that redaction tools have in common. Where a form says little (nine or ten digits
in a row) the find counts only beside a word for it, so that ordinary numbers stay. Patterns have no nested repetition:
the time is proportional to the text, whatever the text.
"""

import importlib
import ipaddress
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import phonenumbers
from phonenumbers import Leniency, PhoneNumberMatcher

_START, _END = r"(?<![^\W_])", r"(?![^\W_])"  # no letter or digit before, none after; underscores are Markdown's
_GAP = r"[ \-.]?"
_CONTEXT_BEFORE, _CONTEXT_AFTER = 60, 20


@dataclass(frozen=True)
class Find:
    """`text[start:end]` is of this kind."""

    start: int
    end: int
    entity: str


@dataclass(frozen=True)
class Form:
    """A pattern, the checksum that a match must pass, and words of which one must be near where the form says little."""

    entity: str
    pattern: re.Pattern[str]
    valid: Callable[[str], bool]
    beside: re.Pattern[str] | None = None

    def finds(self, text: str) -> Iterator[Find]:
        """Its finds in a text."""
        for match in self.pattern.finditer(text):
            start, end = match.span()
            if self.valid(match[0]) and (self.beside is None or self._is_named(text, start, end)):
                yield Find(start, end, self.entity)

    def _is_named(self, text: str, start: int, end: int) -> bool:
        assert self.beside is not None
        near = text[max(0, start - _CONTEXT_BEFORE) : start] + " " + text[end : end + _CONTEXT_AFTER]
        return self.beside.search(near) is not None


def _always(_: str) -> bool:
    return True


@lru_cache(maxsize=64)
def _checksum(module: str) -> Callable[[str], bool]:
    return importlib.import_module(f"stdnum.{module}").is_valid


def _form(entity: str, pattern: str, valid: str | Callable[[str], bool] = _always, beside: str | None = None) -> Form:
    check = _checksum(valid) if isinstance(valid, str) else valid
    words = re.compile(rf"{_START}(?:{beside}){_END}", re.IGNORECASE) if beside else None
    return Form(entity, re.compile(_START + pattern + _END), check, words)


# Each: form, checksum (a module of python-stdnum), and the words that must be near.
_FORMS = (
    _form("US_SSN", r"\d{3}[- ]\d{2}[- ]\d{4}", "us.ssn"),
    _form("US_SSN", r"\d{9}", "us.ssn", r"SSN|social security"),
    _form("US_ITIN", r"9\d{2}[- ]\d{2}[- ]\d{4}", "us.itin"),
    _form("UK_NHS", r"\d{3}[ \-]\d{3}[ \-]\d{4}", "gb.nhs"),
    _form("UK_NHS", r"\d{10}", "gb.nhs", r"NHS"),
    _form("UK_NINO", r"(?!BG|GB|KN|NK|NT|TN|ZZ)[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z] ?\d{2} ?\d{2} ?\d{2} ?[A-D]"),
    _form("IE_PPS", r"\d{7}[A-W][A-IW]?", "ie.pps"),
    _form("DE_TAX_ID", r"\d{2} \d{3} \d{3} \d{3}", "de.idnr"),
    _form("DE_TAX_ID", r"\d{11}", "de.idnr", r"Id\.?-?Nr\.?|TIN|Steuer\w{0,30}|tax id"),
    _form("FR_NIR", rf"[12]{_GAP}\d{{2}}{_GAP}\d{{2}}{_GAP}\d[\dAB]{_GAP}\d{{3}}{_GAP}\d{{3}}{_GAP}\d{{2}}", "fr.nir"),
    _form("ES_NIF", r"\d{8}-?[A-Z]", "es.dni"),
    _form("ES_NIE", r"[XYZ]-?\d{7}-?[A-Z]", "es.nie"),
    _form("IT_FISCAL_CODE", r"[A-Z]{6}\d{2}[A-EHLMPRST]\d{2}[A-Z]\d{3}[A-Z]", "it.codicefiscale"),
    _form("NL_BSN", r"\d{4}\.?\d{2}\.?\d{3}", "nl.bsn", r"BSN|burgerservicenummer|sofinummer"),
    _form("BE_NN", r"\d{2}\.\d{2}\.\d{2}-\d{3}[. ]\d{2}", "be.nn"),
    _form("CH_AHV", r"756\.?\d{4}\.?\d{4}\.?\d{2}", "ch.ssn"),
    _form("PL_PESEL", r"\d{11}", "pl.pesel", r"PESEL"),
    _form("SE_PERSONNUMMER", r"(?:\d{2})?\d{6}[-+]\d{4}", "se.personnummer"),
    _form("FI_HETU", r"\d{6}[-+A-FU-Y]\d{3}[0-9A-Z]", "fi.hetu"),
    _form("DK_CPR", r"\d{6}-\d{4}", "dk.cpr", r"CPR|CPR-nr\.?|personnummer"),
    _form("NO_FODSELSNUMMER", r"\d{6} ?\d{5}", "no.fodselsnummer"),
    _form("BR_CPF", r"\d{3}\.\d{3}\.\d{3}-\d{2}", "br.cpf"),
    _form("CA_SIN", r"\d{3}[- ]\d{3}[- ]\d{3}", "ca.sin", r"SIN|NAS|social insurance|assurance sociale"),
    _form("MX_CURP", r"[A-Z]{4}\d{6}[HM][A-Z]{5}[0-9A-Z]\d", "mx.curp"),
    _form("AU_TFN", r"\d{3} ?\d{3} ?\d{3}", "au.tfn", r"TFN|tax file"),
    _form("IN_AADHAAR", r"[2-9]\d{3} \d{4} \d{4}", "in_.aadhaar"),
    _form("IN_AADHAAR", r"[2-9]\d{11}", "in_.aadhaar", r"Aadhaar|UIDAI|UID"),
    _form("IN_PAN", r"[A-Z]{3}[ABCFGHLJPTK][A-Z]\d{4}[A-Z]", "in_.pan"),
    _form("CN_RIC", r"[1-9]\d{16}[\dX]", "cn.ric"),
    _form("KR_RRN", r"\d{6}-\d{7}", "kr.rrn"),
    _form("ZA_ID", r"\d{13}", "za.idnr", r"ID|identity"),
    _form("TR_TCKN", r"[1-9]\d{10}", "tr.tckimlik", r"T\.?C\.?|TCKN|kimlik"),
)

_LOCAL = re.compile(r"[\w.%+'\\\-]{1,64}")  # read backwards from the @; Markdown puts a backslash before some
_DOMAIN = re.compile(r"(?:[^\W_][\w\\\-]{0,62}\.){1,8}[^\W\d_]{2,24}(?![\w@])")
_MAX_LOCAL = 64

_MAC = _form("MAC_ADDRESS", r"[0-9A-Fa-f]{2}(?:[:\-][0-9A-Fa-f]{2}){5}")
_CRYPTO = _form("CRYPTO", r"(?:[13][1-9A-HJ-NP-Za-km-z]{25,34}|bc1[ac-hj-np-z02-9]{11,71})", "bitcoin")
_CARD = re.compile(_START + r"\d{2,19}(?:[ \-]\d{2,19})*" + _END)
_CARD_DIGITS, _CARD_GROUPS = (13, 19), 9
_IBAN = re.compile(_START + r"[A-Za-z]{2}\d{2}(?: ?[A-Za-z0-9]){11,34}")
_IBAN_LENGTHS = (15, 34)

_IPV4 = re.compile(_START + r"\d{1,3}(?:\.\d{1,3}){3}(?!\.\d)" + _END)
_IPV6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{0,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?:\.\d{1,3}){0,3}(?![\w:])")
_NUMBERED = re.compile(
    r"(?:^|\n)[#*\s\-|>]*\Z|(?:\b(?:v|ver|version|release|section|chapter|clause|§)\.?\s{0,3})\Z", re.I
)

#: Of what looks like a phone number only as much as one can have is given to the matcher, which is thorough and slow.
_PHONE = re.compile(r"(?:\+|\(|(?<![^\W_]))[\d(+][\d ()\-./\\\u00a0]{5,28}\d(?![^\W_])")
_PHONE_WORDS = re.compile(
    r"\b(?:tel\w{0,10}|phone\w{0,2}|mobile|mob|cell\w{0,5}|fax|call|hotline|handy|ruf\w{0,10}|fon|t[eé]l[eé]phone)\b",
    re.I,
)
_DIGITS = re.compile(r"\d")
_FEWEST_DIGITS, _MOST_DIGITS = 7, 15
DEFAULT_REGIONS = ("US", "GB", "DE", "FR")


def _emails(text: str) -> Iterator[Find]:
    at = text.find("@")
    while at != -1:
        before = _LOCAL.match(text[max(0, at - _MAX_LOCAL) : at][::-1])
        after = _DOMAIN.match(text, at + 1)
        if before and after:
            local = before[0][::-1].lstrip(".'\\-")
            if local:
                yield Find(at - len(local), after.end(), "EMAIL_ADDRESS")
        at = text.find("@", at + 1)


def _cards(text: str) -> Iterator[Find]:
    """Runs of digits may hold more than the card: a date beside it, another card. It begins and ends with a group."""
    for run in _CARD.finditer(text):
        groups = [(run.start() + group.start(), run.start() + group.end()) for group in re.finditer(r"\d+", run[0])]
        first = 0
        while first < len(groups):
            last = next(
                (
                    last
                    for last in range(first, min(first + _CARD_GROUPS, len(groups)))
                    if _is_card(text, groups[first : last + 1])
                ),
                None,
            )
            if last is not None:
                yield Find(groups[first][0], groups[last][1], "CREDIT_CARD")
            first = first + 1 if last is None else last + 1


def _is_card(text: str, groups: list[tuple[int, int]]) -> bool:
    shortest, longest = _CARD_DIGITS
    if not shortest <= sum(end - start for start, end in groups) <= longest or text[groups[0][0]] not in "23456":
        return False
    digits = "".join(text[start:end] for start, end in groups)
    return len(set(digits)) > 1 and _checksum("luhn")(digits)


def _ibans(text: str) -> Iterator[Find]:
    """Words may follow a number that is written in groups: it ends where one of its lengths passes the checksum."""
    for match in _IBAN.finditer(text):
        places = [place for place in range(match.start(), match.end()) if text[place] != " "]
        shortest, longest = _IBAN_LENGTHS
        for length in range(min(longest, len(places)), shortest - 1, -1):
            end = places[length - 1] + 1
            whole = end == len(text) or not text[end].isalnum()
            if whole and _checksum("iban")("".join(text[place] for place in places[:length])):
                yield Find(match.start(), end, "IBAN_CODE")
                break


def _ip_addresses(text: str) -> Iterator[Find]:
    for pattern in (_IPV4, _IPV6):
        for match in pattern.finditer(text):
            if _is_address(match[0]) and not _NUMBERED.search(text[max(0, match.start() - 24) : match.start()]):
                yield Find(*match.span(), "IP_ADDRESS")


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    # Four single digits number a section; an address of them is a public resolver's.
    return sum(map(bool, text.split(":"))) > 2 if ":" in text else any(len(part) > 1 for part in text.split("."))


def _phones(text: str, regions: tuple[str, ...]) -> Iterator[Find]:
    """International numbers anywhere; national ones where they are written as their region writes them, or are named."""
    for match in _PHONE.finditer(text):
        if not _FEWEST_DIGITS <= len(_DIGITS.findall(match[0])) <= _MOST_DIGITS:
            continue
        words = match[0].replace("\\", " ")
        named = _PHONE_WORDS.search(text[max(0, match.start() - _CONTEXT_BEFORE) : match.start()]) is not None
        if _is_international(words) or any(_is_phone(words, region, named) for region in regions):
            yield Find(*match.span(), "PHONE_NUMBER")
        elif named or "+" in words:
            # Other digits stand beside the number.
            for region in (None, *regions):
                for number in PhoneNumberMatcher(words, region, Leniency.VALID):
                    yield Find(match.start() + number.start, match.start() + number.end, "PHONE_NUMBER")


def _is_international(words: str) -> bool:
    written = words.lstrip("( ")
    if not written.startswith(("+", "00")):
        return False
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse("+" + written.lstrip("+0")))
    except phonenumbers.NumberParseException:
        return False


def _is_phone(words: str, region: str, named: bool) -> bool:
    """Whether this is a number of the region, written as there: in its groups, unless something names it as a phone's."""
    try:
        number = phonenumbers.parse(words, region)
    except phonenumbers.NumberParseException:
        return False
    if not phonenumbers.is_valid_number_for_region(number, region):
        return False
    return named or _groups(words) in (
        _groups(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.NATIONAL)),
        _groups(phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.INTERNATIONAL)),
    )


def _groups(written: str) -> list[str]:
    """The digits between which something else stands; one group alone says nothing, so it is none."""
    found = re.findall(r"\d+", written)
    return found if len(found) > 1 else []


ENTITIES: tuple[str, ...] = tuple(
    sorted(
        {"CREDIT_CARD", "CRYPTO", "EMAIL_ADDRESS", "IBAN_CODE", "IP_ADDRESS", "MAC_ADDRESS", "PHONE_NUMBER"}
        | {form.entity for form in _FORMS}
    )
)
#: Where digits stand near each other, with what may belong to them: most kinds have some, most text has none.
_ZONE_GAP, _ZONE_MARGIN, _ZONE_DIGITS = 40, 80, 4


def _zones(text: str) -> Iterator[tuple[int, int]]:
    start = end = digits = 0
    for match in re.finditer(r"\d+", text):
        if digits and match.start() > end + _ZONE_GAP:
            if digits >= _ZONE_DIGITS:
                yield max(0, start - _ZONE_MARGIN), end + _ZONE_MARGIN
            digits = 0
        start, end, digits = match.start() if not digits else start, match.end(), digits + len(match[0])
    if digits >= _ZONE_DIGITS:
        yield max(0, start - _ZONE_MARGIN), end + _ZONE_MARGIN


def finds_in(text: str, entities: frozenset[str], regions: tuple[str, ...]) -> list[Find]:
    """All finds of these kinds, in no order; some may overlap."""
    found: list[Find] = []
    for entity, finder in (
        ("EMAIL_ADDRESS", _emails),
        ("IP_ADDRESS", _ip_addresses),
        ("MAC_ADDRESS", _MAC.finds),
        ("CRYPTO", _CRYPTO.finds),
    ):
        if entity in entities:
            found += finder(text)
    for start, end in _zones(text):
        zone = text[start:end]
        found += [Find(start + find.start, start + find.end, find.entity) for find in _in_zone(zone, entities, regions)]
    return found


def _in_zone(text: str, entities: frozenset[str], regions: tuple[str, ...]) -> Iterator[Find]:
    if "CREDIT_CARD" in entities:
        yield from _cards(text)
    if "IBAN_CODE" in entities:
        yield from _ibans(text)
    if "PHONE_NUMBER" in entities:
        yield from _phones(text, regions)
    for form in _FORMS:
        if form.entity in entities:
            yield from form.finds(text)
