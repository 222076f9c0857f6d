"""Text in images (OCR) by the Tesseract that is part of xberg; in a step only (see `steps`).

The engine needs a file for each language: English comes with the requirements, the packages `tesseract-ocr-*` of Debian
bring the others (and English again: one folder is used, the one with the most languages). A page is read in one
language; where the text turns out to be in another that is installed, it is read again in that. Measured on two pages
a language, 300 dots per inch, askew, blurred and noisy, words wrong: English 0 %, German 0 %, French 0.3 %, each page in
about 1 s and 260 MB; all three at once: 0, 2.5, 3.2 %; German and French in English alone: 18 and 13 %.
(RapidOCR 1.4 from PyPI, models included: 40 to 80 % in 4 to 7 s and 830 MB.)
"""

import asyncio
import io
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

import xberg
from PIL import Image

from . import failures
from .content import escaped

# Where installers put language files: into the Python environment, Debian, others.
_FOLDERS = (
    Path(sys.prefix) / "share" / "tessdata",
    *sorted(Path("/usr/share/tesseract-ocr").glob("*/tessdata"), reverse=True),
    Path("/usr/share/tessdata"),
    Path("/usr/local/share/tessdata"),
)
_NO_LANGUAGES = {"osd", "equ"}  # layout and formulae
_FIRST_CHOICE = "eng"
_SURE = 0.5  # of the language that a text is in
_AUTOMATIC_LAYOUT = 3


@lru_cache(maxsize=1)
def languages() -> tuple[Path | None, tuple[str, ...]]:
    """The folder with the most language files, and the languages in it (Tesseract's names: eng, deu, chi_sim …)."""
    found = [(folder, _languages_in(folder)) for folder in _FOLDERS]
    best = max(found, key=lambda pair: len(pair[1]))
    return best if best[1] else (None, ())


def _languages_in(folder: Path) -> tuple[str, ...]:
    names = {path.stem for path in folder.glob("*.traineddata")} - _NO_LANGUAGES
    return tuple(sorted(names, key=lambda name: (name != _FIRST_CHOICE, name)))


def recognise(image: Image.Image, language: str | None) -> dict[str, Any]:
    """{"text", "language", "missing"}: Markdown, what to try first on the next page, and what it seems to be in instead.

    `language` is what was best on the page before.
    Raises UnreadableFile where no language is installed.
    """
    folder, installed = languages()
    if folder is None:
        raise failures.no_recognition()
    written = io.BytesIO()
    image.save(written, "BMP", dpi=(300, 300))  # nothing to pack and unpack
    first = language or installed[0]
    text, seen = _tesseract(written.getvalue(), first, folder)
    if seen in installed and seen != first:
        first = seen
        text, _ = _tesseract(written.getvalue(), seen, folder)
    return {"text": escaped(text), "language": first, "missing": seen if seen not in installed else None}


def _tesseract(image: bytes, language: str, folder: Path) -> tuple[str, str | None]:
    """The text, and the language that it is in as far as that is certain."""
    source = xberg.ExtractInput(kind="bytes", bytes=image, mime_type="image/bmp")
    try:
        [document] = asyncio.run(xberg.extract(source, _config(language, folder))).results
    except (RuntimeError, ValueError, xberg.XbergError) as error:
        raise failures.corrupt() from error
    return document.content, next(iter(document.detected_languages or []), None)


def _config(language: str, folder: Path) -> xberg.ExtractionConfig:
    tesseract = xberg.TesseractConfig(
        language=[language],
        psm=_AUTOMATIC_LAYOUT,
        output_format="text",
        use_cache=False,
        enable_table_detection=False,  # it repeats running text as cells
    )
    return xberg.ExtractionConfig(
        force_ocr=True,
        use_cache=False,
        output_format="plain",
        enable_quality_processing=False,
        ocr=xberg.OcrConfig(
            backend="tesseract",
            language=[language],
            tesseract_config=tesseract,
            tessdata_path=str(folder),
            auto_rotate=False,
            numeric_repair=False,
        ),
        language_detection=xberg.LanguageDetectionConfig(enabled=True, min_confidence=_SURE, detect_multiple=False),
        concurrency=xberg.ConcurrencyConfig(max_threads=1),
    )
