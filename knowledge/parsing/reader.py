"""From bytes to content, format by format; runs in the parser's child and leaves the parsing to steps (see `steps`)."""

from collections.abc import Callable
from functools import partial
from typing import Any

from . import (
    archives,
    delimited,
    failures,
    file_types,
    images,
    mail,
    office,
    pdf,
    recognition,
    records,
    sheets,
    text_encoding,
)
from .content import Content, demoted, escaped
from .documents import INVALID_FILE, UNSUPPORTED_FILE, UnreadableFile
from .file_types import CSV, EML, IMAGES, JSON, JSONL, ODS, PACKED, PDF, PLAIN, TIFF, TSV, XLSX, ZIP
from .steps import Steps

_DEEPEST = 4  # files within files
_MOST_MEMBERS = 1000  # of an archive of documents, of a mail
_LOOK_SECONDS = 4.0  # how long `inspect` looks for scanned pages


def read(data: bytes, filename: str, steps: Steps, depth: int = 0) -> Content:
    """Everything the file says. Raises UnreadableFile, for empty content too."""
    mime_type = file_types.detect(data, filename)
    if mime_type in PACKED:
        steps.unpacked_bytes -= archives.check(data, max_unpacked_bytes=steps.unpacked_bytes)
    if mime_type in (EML, ZIP):
        if depth == _DEEPEST:
            raise failures.nested_too_deep()
        content = (_mail if mime_type == EML else _archive)(data, steps, depth)
    elif mime_type == PDF:
        content = _pdf(data, 1, None, steps)
    elif mime_type in IMAGES:
        content = _images(data, mime_type, 1, None, steps)
    else:
        content = _text(data, filename, mime_type, steps)
    if content.is_empty():
        raise content.failure or failures.no_text()
    return content


def read_pages(data: bytes, filename: str, first: int, last: int, steps: Steps) -> Content:
    """The pages `first` to `last` of a PDF or TIFF, which may be empty. Raises UnreadableFile."""
    mime_type = file_types.detect(data, filename)
    if mime_type == PDF:
        return _pdf(data, first, last, steps)
    if mime_type == TIFF:
        return _images(data, TIFF, first, last, steps)
    raise UnreadableFile(UNSUPPORTED_FILE, "Only PDF and TIFF files can be read in parts.")


def inspect(data: bytes, filename: str, steps: Steps) -> dict[str, Any]:
    """{"mime_type", "pages", "scanned"} as in `documents.Inspection`. Raises UnreadableFile."""
    mime_type = file_types.detect(data, filename)
    pages, scanned = None, None
    if mime_type == PDF:
        found = steps.reading(partial(pdf.survey, data, 1, None, max_pages=steps.max_pages, seconds=_LOOK_SECONDS))
        pages, scanned = found["pages"], found["scanned"]
    elif mime_type == TIFF:
        pages = steps.reading(partial(images.count, data, steps.max_pages))
        if pages > steps.max_pages:
            raise failures.too_many_pages(pages, steps.max_pages)
        scanned = list(range(1, pages + 1))
    return {"mime_type": mime_type, "pages": pages, "scanned": scanned}


def _pdf(data: bytes, first: int, last: int | None, steps: Steps) -> Content:
    look = steps.reading(partial(pdf.survey, data, first, last, max_pages=steps.max_pages))
    count = look["pages"]
    if not 1 <= first <= (last or count) <= count:
        raise UnreadableFile(INVALID_FILE, f"The file has {count} pages, not {first} to {last}.")
    content = Content(PDF, [], title=look["title"])
    scanned = set(look["scanned"])
    numbers = range(first, (last or count) + 1)
    if scanned.union(look["broken"]).issuperset(numbers):
        content.pages = [(number, "") for number in numbers]
    else:
        content.pages = [
            (number, text) for number, text in steps.reading(partial(pdf.read, data, first, last, look["broken"]))
        ]
    content.warnings += [
        f"Page {number} was not read: it is damaged."
        for number, text in content.pages
        if number in look["broken"] and not text.strip()
    ]
    _recognise(content, scanned, lambda number: pdf.render(data, number), steps)
    return content


def _images(data: bytes, mime_type: str, first: int, last: int | None, steps: Steps) -> Content:
    count = steps.reading(partial(images.count, data, steps.max_pages))
    if count > steps.max_pages:
        raise failures.too_many_pages(count, steps.max_pages)
    if not 1 <= first <= (last or count) <= count:
        raise UnreadableFile(INVALID_FILE, f"The file has {count} pages, not {first} to {last}.")
    numbers = range(first, (last or count) + 1)
    content = Content(mime_type, [(number, "") for number in numbers])
    _recognise(content, set(numbers), lambda number: images.grey(data, number), steps)
    return content


def _recognise(content: Content, scanned: set[int], image: Callable[[int], Any], steps: Steps) -> None:
    """Fill the scanned pages in; a page that cannot be read is said in the warnings."""
    language: str | None = None
    missing: dict[str, int] = {}
    for index, (number, text) in enumerate(content.pages):
        if number not in scanned:
            continue
        try:
            found = steps.scanning(partial(_recognised, image, number, language))
        except UnreadableFile as error:
            content.failure = error
            content.warnings.append(f"Page {number} is an image and was not read: {error.message}")
            continue
        language = found["language"]
        if found["missing"]:
            missing.setdefault(found["missing"], number)
        content.ocr_pages += 1
        content.pages[index] = (number, found["text"] if found["text"].strip() else text)
        if not found["text"].strip():
            content.warnings.append(f"No text was recognised on page {number}.")
    content.warnings += [
        f"Page {number} seems to be in a language (ISO 639-3: {code}) that is not installed for recognition: expect errors."
        for code, number in missing.items()
    ]


def _recognised(image: Callable[[int], Any], number: int, language: str | None) -> dict[str, Any]:
    return recognition.recognise(image(number), language)


def _text(data: bytes, filename: str, mime_type: str, steps: Steps) -> Content:
    if mime_type == PLAIN and file_types.looks_like_json(data, filename) and steps.reading(partial(_is_json, data)):
        mime_type = JSON
    if mime_type in (CSV, TSV):
        spell = partial(_spelled_table, data, steps.text_characters)
        return Content(mime_type, [(None, steps.reading(spell))])
    if mime_type in (JSON, JSONL):
        return Content(mime_type, [(None, steps.reading(partial(_spelled_records, data)))])
    if mime_type == PLAIN:
        return Content(PLAIN, [(None, _plain(data, steps))])
    if mime_type in (XLSX, ODS):
        book = steps.reading(partial(sheets.read, data, max_characters=steps.text_characters))
        return Content(mime_type, [(None, book["text"])], title=book["title"])
    found = steps.reading(partial(office.read, data, mime_type))
    return Content(mime_type, [(number, text) for number, text in found["pages"]], title=found["title"])


def _plain(data: bytes, steps: Steps) -> str:
    text = text_encoding.decoded(data)  # nearly always, and nothing that could go wrong
    return str(steps.reading(partial(office.decode, data))) if text is None else text


def _is_json(data: bytes) -> bool:
    return records.is_json(office.decode(data))


def _spelled_table(data: bytes, max_characters: int) -> str:
    return delimited.spell(office.decode(data), max_characters=max_characters)


def _spelled_records(data: bytes) -> str:
    return records.spell(office.decode(data))


def _mail(data: bytes, steps: Steps, depth: int) -> Content:
    try:
        letter = mail.read(data)
    except RecursionError as error:
        raise failures.nested_too_deep() from error
    content = Content(EML, [], title=letter.subject)
    head = [f"# {letter.subject}", ""] if letter.subject else []
    content.pages.append((None, "\n".join((*head, *letter.head))))
    if letter.body is not None and letter.body[0].strip():
        body, name = letter.body
        _add(content, name, partial(read, body, name, steps, depth + 1), 0)
    level = 2 if letter.subject else 1
    for attachment in letter.attachments[:_MOST_MEMBERS]:
        _add_part(content, attachment.name, attachment.data, steps, depth, level)
    _say_left_out(content, len(letter.attachments))
    return content


def _archive(data: bytes, steps: Steps, depth: int) -> Content:
    content = Content(ZIP, [])
    count = 0
    for count, (name, member) in enumerate(archives.documents(data), 1):
        if count <= _MOST_MEMBERS:
            _add_part(content, name, member, steps, depth)
    _say_left_out(content, count)
    return content


def _say_left_out(content: Content, count: int) -> None:
    if count > _MOST_MEMBERS:
        content.warnings.append(f"Of {count:,} files only the first {_MOST_MEMBERS:,} were read.")


def _add_part(content: Content, name: str, data: bytes | None, steps: Steps, depth: int, level: int = 1) -> None:
    name = "".join(filter(str.isprintable, name)).strip() or "unnamed"
    reading = _damaged if data is None else partial(read, data, name, steps, depth + 1)
    _add(content, name, reading, level)


def _damaged() -> Content:
    raise failures.corrupt()


def _add(content: Content, name: str, reading: Callable[[], Content], level: int) -> None:
    """Append what `reading` gives, below its name as a heading of `level` (0: none), or say why there is nothing."""
    try:
        part = reading()
    except UnreadableFile as error:
        content.failure = error
        content.warnings.append(f"{name} was not read: {error.message}")
        return
    content.ocr_pages += part.ocr_pages
    content.warnings += [f"{name}: {warning}" for warning in part.warnings]
    if level:
        content.pages.append((None, f"{'#' * level} {name}"))
    for _, text in part.pages:
        content.pages.append((None, escaped(text) if part.mime_type == PLAIN else demoted(text, level)))
