"""PDF by pages: pdfium counts, looks and renders, xberg reads; in a step only (see `steps`)."""

import io
import re
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import pairwise
from typing import Any

import pypdfium2
from PIL import Image
from pypdfium2 import raw

from . import failures, office
from .content import escaped
from .documents import UnreadableFile
from .file_types import PDF
from .tables import spell_tables

_DOTS_PER_INCH = 300
_MOST_PIXELS = 20_000_000
_FEW_LETTERS = 50  # a scanner's stamp or a page number, not a page of text
_LARGE_IMAGE = 0.3  # of the page
_MANY_PATHS = 100  # letters drawn as outlines
_SAMPLE_CHARACTERS = 4000
_UNMAPPED = re.compile("[\ufffd\ue000-\uf8ff\x00-\x08\x0e-\x1f]")
_BULLET = re.compile(r"(?<!\S)[\ue000-\uf8ff](?=\s)")
_WORD = re.compile(r"[^\W\d_]+")


def survey(
    data: bytes, first: int, last: int | None, *, max_pages: int, seconds: float | None = None
) -> dict[str, Any]:
    """{"title", "pages": how many, and of those from `first` to `last` the numbers of the "scanned", which have no
    usable text layer, and of the "broken", which cannot be opened}.

    `scanned` is None where looking took longer than `seconds`. Raises UnreadableFile for more than `max_pages`.
    """
    deadline = time.process_time() + (seconds or float("inf"))
    scanned: list[int] = []
    broken: list[int] = []
    with _opened(data) as document:
        if len(document) > max_pages:
            raise failures.too_many_pages(len(document), max_pages)
        numbers = range(first, min(last or len(document), len(document)) + 1)
        for number in numbers:
            try:
                if _is_scanned(document, number):
                    scanned.append(number)
            except pypdfium2.PdfiumError:
                broken.append(number)
            if time.process_time() > deadline:
                break
        if len(broken) == len(document):
            raise failures.corrupt()
        late = time.process_time() > deadline
        return {
            "title": document.get_metadata_value("Title"),
            "pages": len(document),
            "scanned": None if late else scanned,
            "broken": broken,
        }


def read(data: bytes, first: int, last: int | None, broken: Collection[int] = ()) -> list[tuple[int, str]]:
    """(number, Markdown) of the pages `first` to `last` (None: to the end), as far as they have a text layer.

    Those that are `broken` (see `survey`) give nothing.
    """
    with _opened(data) as document:
        count = len(document)
        numbers = range(first, (last or count) + 1)
        whole = len(numbers) == count
        kept = list(numbers) if whole else [number for number in numbers if number not in broken]
        part = data if whole else _part(document, kept)
        try:
            pages = {kept[page.page_number - 1]: page.content for page in office.extract(part, PDF).pages or []}
        except UnreadableFile:
            pages = None  # xberg is stricter than pdfium, whose text has no headings and no tables
        if pages is None:
            return [(number, escaped(_text_of(document, number))) for number in numbers]
        return [(number, _mended(pages.get(number, ""), document, number)) for number in numbers]


def render(data: bytes, number: int) -> Image.Image:
    """Page `number` in shades of grey at 300 dots per inch, a huge one coarser."""
    with _opened(data) as document:
        with closing(document[number - 1]) as page:
            width, height = page.get_size()
            scale = min(_DOTS_PER_INCH / 72, (_MOST_PIXELS / max(1.0, width * height)) ** 0.5)
            return page.render(scale=scale, grayscale=True).to_pil().convert("L")


@contextmanager
def _opened(data: bytes) -> Iterator[pypdfium2.PdfDocument]:
    if b"%%EOF" not in data[-4096:]:
        raise failures.corrupt()  # cut off: a parser would mend it and silently lose the rest
    try:
        document = pypdfium2.PdfDocument(data)
    except pypdfium2.PdfiumError as error:
        raise failures.encrypted() if b"/Encrypt" in data else failures.corrupt() from error
    with document:
        if not len(document):
            raise failures.corrupt()
        yield document


def _part(document: pypdfium2.PdfDocument, numbers: Sequence[int]) -> bytes:
    with pypdfium2.PdfDocument.new() as part:
        part.import_pages(document, [number - 1 for number in numbers])
        written = io.BytesIO()
        part.save(written)
        return written.getvalue()


def _is_scanned(document: pypdfium2.PdfDocument, number: int) -> bool:
    """Whether the page shows more than its text layer says."""
    with closing(document[number - 1]) as page:
        text = _text(page, _SAMPLE_CHARACTERS)
        letters = sum(map(str.isalnum, text))
        if 2 * len(_UNMAPPED.findall(text)) > letters > 0:
            return True
        return letters < _FEW_LETTERS and _is_picture(page, letters)


def _is_picture(page: pypdfium2.PdfPage, letters: int) -> bool:
    width, height = page.get_size()
    covered, paths = 0.0, 0
    for found in page.get_objects(max_depth=3):
        if found.type == raw.FPDF_PAGEOBJ_IMAGE:
            left, bottom, right, top = found.get_bounds()
            covered += (right - left) * (top - bottom)
        paths += found.type == raw.FPDF_PAGEOBJ_PATH
        if covered > _LARGE_IMAGE * width * height or (not letters and (covered or paths > _MANY_PATHS)):
            return True
    return False


def _text(page: pypdfium2.PdfPage, most: int = -1) -> str:
    with closing(page.get_textpage()) as text:
        count = text.count_chars()
        return text.get_text_range(0, min(count, most) if most >= 0 else count) if count else ""


def _text_of(document: pypdfium2.PdfDocument, number: int) -> str:
    """The page's text layer; nothing where the page is broken."""
    try:
        with closing(document[number - 1]) as page:
            return _text(page)
    except pypdfium2.PdfiumError:
        return ""


def _mended(markdown: str, document: pypdfium2.PdfDocument, number: int) -> str:
    """The page's tables spelled, bullets of symbol fonts as bullets, and words apart that xberg ran together."""
    text = _BULLET.sub("•", spell_tables(markdown))
    words = _WORD.findall(_text_of(document, number))
    known = set(words)
    pairs = {left + right: f"{left} {right}" for left, right in pairwise(words)}
    return _WORD.sub(lambda word: word[0] if word[0] in known else pairs.get(word[0], word[0]), text)
