"""Every format gives its text; every hostile file is refused with its reason, and the next file is read as before."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from knowledge.parsing import fork_server
from knowledge.parsing.documents import (
    INVALID_FILE,
    UNSUPPORTED_FILE,
    Inspection,
    Limits,
    PageSpan,
    ParsedDocument,
    UnreadableFile,
)
from knowledge.parsing.reading import inspect, parse, parse_pages
from tests.knowledge import office_files

HTML = b"""<!DOCTYPE html><html><head><title>Opening &amp; closing</title><style>p { color: red }</style></head>
<body><script>alert("hidden")</script><h1>Harbour</h1><p>The lights are <b>green</b>.</p><img src="http://evil.example/x.png">
<table><tr><th>ship</th><th>berth</th></tr><tr><td>Anna</td><td>4</td></tr></table></body></html>"""


@pytest.fixture(scope="module", autouse=True)
def _server_ends_with_the_module() -> Iterator[None]:
    yield
    fork_server.shut_down()


def refusal(data: bytes, filename: str, limits: Limits | None = None) -> UnreadableFile:
    with pytest.raises(UnreadableFile) as caught:
        parse(data, filename, limits)
    return caught.value


def test_a_pdf_has_pages_at_character_offsets() -> None:
    document = parse(office_files.pdf(["Première page (é).", "Second page.", "Third."]), "a.pdf")
    assert document.mime_type == "application/pdf"
    pages = [(page.number, document.text[page.start : page.end]) for page in document.pages]
    assert pages == [(1, "Première page (é)."), (2, "Second page."), (3, "Third.")]


def test_pages_of_a_long_document_are_where_their_text_is() -> None:
    texts = [f"Page {number} naïvely says €{number}. " * 6 for number in range(1, 121)]
    document = parse(office_files.pdf(texts), "long.pdf")
    assert [document.text[page.start : page.end] for page in document.pages] == [text.strip() for text in texts]


def test_a_long_document_is_read_in_parts() -> None:
    data = office_files.pdf([f"Page {number}." for number in range(1, 11)])
    assert inspect(data, "long.pdf") == Inspection("application/pdf", 10, frozenset())
    part = parse_pages(data, "long.pdf", first=4, last=6)
    assert [(page.number, part.text[page.start : page.end]) for page in part.pages] == [
        (4, "Page 4."), (5, "Page 5."), (6, "Page 6."),
    ]  # fmt: skip
    with pytest.raises(UnreadableFile, match="10 pages"):
        parse_pages(data, "long.pdf", first=10, last=11)


def test_a_stretch_of_blank_pages_is_empty_text_with_its_pages() -> None:
    data = office_files.pdf([f"Page {number}." if number <= 2 else "" for number in range(1, 7)])
    part = parse_pages(data, "long.pdf", first=3, last=6)
    assert (part.text, part.warnings) == ("", ())
    assert part.pages == tuple(PageSpan(number, 0, 0) for number in range(3, 7))


def test_a_stretch_of_damaged_pages_is_said_and_costs_no_other() -> None:
    data = office_files.pdf([f"Page {number}." for number in range(1, 6)])
    assert b"10 0 R 12 0 R" in data  # pages 4 and 5
    data = data.replace(b"10 0 R 12 0 R", b"90 0 R 92 0 R")
    part = parse_pages(data, "long.pdf", first=4, last=5)
    assert (part.text, [page.number for page in part.pages]) == ("", [4, 5])
    assert part.warnings == tuple(f"Page {number} was not read: it is damaged." for number in (4, 5))
    assert parse_pages(data, "long.pdf", first=1, last=2).text == "Page 1.\n\nPage 2."
    beside = parse_pages(data, "long.pdf", first=3, last=5)
    assert (beside.text, beside.pages[0], len(beside.pages)) == ("Page 3.", PageSpan(3, 0, 7), 3)


def test_html_keeps_structure_and_drops_scripts_styles_and_images() -> None:
    document = parse(HTML, "page.html")
    assert document.title == "Opening & closing"
    assert document.text.startswith("# Harbour\n\nThe lights are **green**.")
    assert document.text.endswith("ship: Anna; berth: 4")
    assert not any(word in document.text for word in ("alert", "color", "evil.example"))


def test_a_word_file_becomes_markdown() -> None:
    document = parse(office_files.docx([("Harbour", "Heading1"), ("Anna lies at berth 4.", None)]), "a.docx")
    assert document.text.strip() == "# Harbour\n\nAnna lies at berth 4."
    assert document.pages == ()


def test_a_workbook_and_slides_give_their_text() -> None:
    assert "Anna" in parse(office_files.xlsx([["ship", "berth"], ["Anna", "4"]]), "a.xlsx").text
    assert "Anna lies at berth 4" in parse(office_files.pptx("Anna lies at berth 4"), "a.pptx").text


def test_csv_and_markdown() -> None:
    assert parse(b"ship,berth\nAnna,4\n", "a.csv").text == "ship: Anna; berth: 4"
    assert parse(b"# Harbour\r\n\r\nText.\r\n", "a.md") == ParsedDocument(
        "# Harbour\n\nText.", (), "Harbour", "text/markdown"
    )


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_plain_text_in_any_encoding(encoding: str) -> None:
    text = "Der Hafen ist geöffnet, natürlich auch für große Schiffe."
    assert parse(text.encode(encoding), "a.txt").text.strip() == text


def test_japanese_text_in_its_old_encoding() -> None:
    text = "日本語のテキストです。これは文書です。"
    assert parse(text.encode("shift_jis"), "a.txt").text.strip() == text


def test_no_nul_reaches_the_text() -> None:
    assert "\x00" not in parse(b"before " * 400 + b"\x00 after", "a.txt").text


def test_the_type_is_the_contents_not_the_names() -> None:
    assert parse(office_files.docx([("Text.", None)]), "report.pdf").mime_type.endswith("wordprocessingml.document")
    assert parse(HTML, "unnamed").mime_type == "text/html"


@pytest.mark.parametrize("magic", [b"\x7fELF\x02\x01\x01", b"MZ\x90\x00\x03", b"\xcf\xfa\xed\xfe\x07"])
def test_a_renamed_program_is_refused(magic: bytes) -> None:
    error = refusal(magic + bytes(200) + b"text", "report.pdf")
    assert (error.code, "program" in error.message) == (UNSUPPORTED_FILE, True)


PASSWORD = "/Encrypt << /Filter /Standard /V 2 /R 3 /Length 128 /P -4 /O <{0}> /U <{0}> >> /ID [<{0}> <{0}>]".format(
    "5a" * 32
)
OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(504)
REFUSED = {
    "empty": (b"", INVALID_FILE, "empty"),
    "blank": (b" \n\t", INVALID_FILE, "empty"),
    "encrypted.pdf": (office_files.pdf(["Secret."], trailer=PASSWORD), INVALID_FILE, "password"),
    "encrypted.docx": (OLE + "EncryptedPackage".encode("utf-16-le"), INVALID_FILE, "password"),
    "old.doc": (OLE, UNSUPPORTED_FILE, "before 2007"),
    "truncated.pdf": (office_files.pdf(["One.", "Two."])[:-40], INVALID_FILE, "damaged"),
    "truncated.docx": (office_files.docx([("Text.", None)])[:-60], INVALID_FILE, "damaged"),
    "text.pdf": (b"no pdf at all", INVALID_FILE, "not a PDF"),
    "scan.pdf": (office_files.pdf([""]), INVALID_FILE, "No text"),
    "photo.txt": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)), INVALID_FILE, "damaged"),
    "photo.gif": (b"GIF89a" + bytes(range(256)), UNSUPPORTED_FILE, "not supported"),
    "programs.zip": (office_files.zipped({"a.exe": b"MZ" + bytes(100)}), UNSUPPORTED_FILE, "program"),
    "empty.zip": (office_files.zipped({}), INVALID_FILE, "No text"),
    "lines.jsonl": (b'{"a": 1}\n{"a": 2\n', INVALID_FILE, "line 2"),
    "text.png": (b"no image at all", INVALID_FILE, "not a PNG"),
}


@pytest.mark.parametrize("filename", REFUSED)
def test_a_file_that_cannot_be_read_says_why(filename: str) -> None:
    data, code, words = REFUSED[filename]
    error = refusal(data, filename)
    assert (error.code, words in error.message) == (code, True), error.message


def test_too_slow_too_hungry_too_large_and_too_long_say_so() -> None:
    page = office_files.pdf(["Text."])
    assert "too long" in refusal(page, "a.pdf", Limits(seconds=0.001)).message
    assert "memory" in refusal(b"word " * 8_000_000, "a.txt", Limits(memory_bytes=256 * 2**20)).message
    assert "the limit is 100" in refusal(page, "a.pdf", Limits(file_bytes=100)).message
    assert "characters" in refusal(b"word " * 100, "a.txt", Limits(text_characters=100)).message


def test_documents_are_parsed_side_by_side() -> None:
    with ThreadPoolExecutor(4) as pool:
        texts = pool.map(lambda number: parse(f"Text {number}.".encode(), "a.txt").text.strip(), range(12))
        assert list(texts) == [f"Text {number}." for number in range(12)]


def test_a_forked_worker_starts_its_own_server() -> None:
    parse(b"Text.", "a.txt")
    child = os.fork()
    if child == 0:
        same = parse(b"Text.", "a.txt").text.strip() == "Text."
        fork_server.shut_down()
        os._exit(0 if same else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert parse(b"Text.", "a.txt").text.strip() == "Text."


def test_a_killed_server_is_replaced() -> None:
    parse(b"Text.", "a.txt")
    server = fork_server.current_server()
    server._process.kill()
    server._process.wait()
    assert parse(b"Text.", "a.txt").text.strip() == "Text."


def test_the_server_sees_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    fork_server.shut_down()
    monkeypatch.setenv("ATRIUM_SECRET_KEY", "do-not-leak")
    parse(b"Text.", "a.txt")
    with open(f"/proc/{fork_server.current_server()._process.pid}/environ", "rb") as environment:  # noqa: PTH123  proc is no path
        assert b"do-not-leak" not in environment.read()
