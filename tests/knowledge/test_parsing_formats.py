"""Real files of real producers (see `tests.documents.make`): text, titles, headings, pages, rows with their header."""

import io
import zipfile

import pytest
from PIL import Image

from knowledge.chunking import ChunkingStrategy, chunk
from knowledge.parsing import recognition
from knowledge.parsing.documents import Inspection, ParsedDocument
from knowledge.parsing.reading import inspect, parse, parse_pages
from tests.documents import NAMES, read
from tests.documents.make import SCANS, TEXTS
from tests.knowledge import office_files

HARBOUR_ROWS = "Ship: Anna; Berth: 4; Fee: 18.50\nShip: Juliana; Berth: 7; Fee: 21.00"


def parsed(name: str) -> ParsedDocument:
    return parse(read(name), name)


def pages(document: ParsedDocument) -> dict[int, str]:
    return {page.number: document.text[page.start : page.end] for page in document.pages}


@pytest.mark.parametrize("name", ["handbook.docx", "handbook.odt", "handbook.rtf"])
def test_a_written_document_keeps_title_headings_lists_and_rows(name: str) -> None:
    document = parsed(name)
    assert document.title == "Harbour handbook"
    lines = document.text.split("\n")
    assert [line for line in lines if line.startswith("#")] == ["# Arrival", "## Mooring", "# Departure"]
    assert "The Anna always lies at berth 4, next to the blue crane." in lines
    assert "Two lines aft" in document.text
    assert HARBOUR_ROWS in document.text
    assert "No ship leaves the basin in a storm warning of force 9 or more." in document.text


def test_a_footnote_of_a_word_document_is_read() -> None:
    assert "The warning is lifted by the coast guard alone." in parsed("handbook.docx").text


def test_a_pdf_of_an_office_program_keeps_headings_pages_and_words_apart() -> None:
    document = parsed("handbook.pdf")
    assert document.title == "Harbour handbook"
    assert pages(document).keys() == {1, 2}
    assert pages(document)[1].startswith("# Arrival\n\nEvery ship calls the harbour master on channel 12")
    assert HARBOUR_ROWS in pages(document)[1]
    assert pages(document)[2].startswith(
        "# Departure\n\nNo ship leaves the basin in a storm warning of force 9 or more."
    )


def test_a_pdf_of_a_browser_keeps_headings_tables_and_pages() -> None:
    document = parsed("notice.pdf")
    assert document.title == "Notice to skippers (printed)"
    first, second = pages(document).values()
    assert first.startswith("# Notice to skippers\n\nThe swing bridge opens at 07:00 and 19:00.\n\n## Depths")
    assert first.endswith("Basin: North; Depth: 7.5 m\nBasin: South; Depth: 4.0 m")
    assert second.startswith("## Contact\n\nThe bridge keeper answers on channel 20.")


def test_slides_are_pages_with_the_speakers_notes() -> None:
    document = parsed("briefing.pptx")
    assert document.title == "Morning briefing"
    assert pages(document) == {
        1: "## Weather\n\n- Fog until noon\n- Wind from the west, force 4\n\nNotes: Ask the pilots whether the radar works.",
        2: "## Arrivals\n\nShip: Anna; Time: 09:30",
    }


@pytest.mark.parametrize("name", ["berths.xlsx", "berths.ods"])
def test_rows_of_a_workbook_name_their_columns_below_the_sheets_name(name: str) -> None:
    lines = parsed(name).text.split("\n")
    assert lines[:5] == [
        "## Fees 2026",
        "",
        "Ship: Anna; Berth: 4; Fee: 18.5; Arrived: 2026-05-04",
        "Ship: Juliana; Berth: 7; Fee: 21; Arrived: 2026-05-06",
        "Ship: Total; Fee: 39.5",  # the formula's value as it was saved
    ]
    assert lines[6] == "## Crews"
    assert lines[8].startswith("Name: Jörg | Müller; Duty: Fire watch")


def test_a_formula_is_never_evaluated() -> None:
    def lie(sheet: bytes) -> bytes:
        assert b"<v>39.5</v>" in sheet
        return sheet.replace(b"<v>39.5</v>", b"<v>1234</v>")

    changed = office_files.edited(read("berths.xlsx"), "xl/worksheets/sheet1.xml", lie)
    assert "Ship: Total; Fee: 1234" in parse(changed, "a.xlsx").text


def test_csv_in_an_old_encoding_with_semicolons() -> None:
    document = parsed("berths.csv")
    assert (document.mime_type, document.text) == (
        "text/csv",
        "Schiff: Anna; Liegeplatz: 4; Gebühr: 18,50\nSchiff: Süße; Elfe; Liegeplatz: 7; Gebühr: 21,00",
    )


def test_tsv() -> None:
    assert parsed("berths.tsv").text == "ship: Anna; berth: 4; fee: 18.50\nship: Juliana; berth: 7; fee: 21.00"


@pytest.mark.parametrize("encoding", TEXTS)
def test_plain_text_in_its_encoding(encoding: str) -> None:
    assert parsed(f"{encoding}.txt").text == TEXTS[encoding].strip()


def test_a_web_page_in_an_old_encoding() -> None:
    page = "<html><head><meta charset='windows-1251'><title>Порт</title></head><body><h1>Порт открыт</h1></body></html>"
    assert parse(page.encode("cp1251"), "page.html").text == "# Порт открыт"


def test_a_mail_is_read_with_its_attachments_and_the_mail_in_it() -> None:
    document = parsed("berths.eml")
    assert (document.title, document.mime_type) == ("Berths for Monday", "message/rfc822")
    assert document.text.startswith(
        "# Berths for Monday\n\nFrom: Jörg Müller <harbour@example.com>\nTo: crew@example.com\n"
        "Date: Mon, 04 May 2026 08:15:00 +0200\n\nDear colleagues,\n\nthe Anna moves to berth 4. The list is attached.\n"
    )
    assert "## berths.xlsx\n\n#### Fees 2026\n\nShip: Anna; Berth: 4;" in document.text
    assert document.text.endswith("High water on Monday is at 06:40.")
    assert "## Tide tables.eml\n\n### Tide tables\n" in document.text
    assert document.text.count("berth 4") == 1  # not the HTML alternative too


def test_a_mail_of_html_in_an_old_encoding() -> None:
    head = (
        "From: =?iso-8859-1?Q?J=F6rg?= <j@example.com>\r\nTo: crew@example.com\r\nSubject: =?utf-8?B?R3LDvMOfZQ==?=\r\n"
    )
    body = "<p>Gr\u00fc\u00dfe aus dem <b>Hafen</b>.</p>".encode("iso-8859-1")
    mail = head.encode() + b"Content-Type: text/html; charset=iso-8859-1\r\n\r\n" + body
    assert parse(mail, "a.eml").text == (
        "# Grüße\n\nFrom: Jörg <j@example.com>\nTo: crew@example.com\n\nGrüße aus dem **Hafen**."
    )


def test_an_attached_scan_is_recognised() -> None:
    document = parsed("berths.eml")
    assert document.ocr_pages == 1
    assert "## scan.jpg\n\nHarbour regulations for the winter season" in document.text


def test_an_archive_is_read_file_by_file_and_says_what_could_not_be() -> None:
    document = parsed("papers.zip")
    headings = [line for line in document.text.split("\n") if line.startswith("# ")]
    assert headings == [
        "# papers/handbook.docx", "# papers/berths.csv", "# papers/notice.pdf", "# papers/more.zip",
    ]  # fmt: skip
    assert "## Arrival" in document.text
    assert "## tide.txt\n\nHigh water on Monday is at 06:40." in document.text
    [warning] = document.warnings
    assert warning.startswith("papers/engine.bin was not read: Files of this kind are not supported.")


def test_a_citation_of_an_archive_knows_the_member_and_its_heading() -> None:
    text = "# Rules\n\n" + "No ship leaves the basin in a storm. " * 40
    document = parse(office_files.zipped({"a/rules.md": text, "b.txt": "Short."}), "papers.zip")
    headings = [piece.heading for piece in chunk(document, ChunkingStrategy(100, 0))]
    assert headings == ["a/rules.md"] + ["a/rules.md > Rules"] * (len(headings) - 1)


def test_a_damaged_member_takes_nothing_with_it() -> None:
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("good.txt", "The Anna lies at berth 4.")
        archive.writestr("bad.docx", read("handbook.docx")[:-300])
        archive.writestr("form.pdf", office_files.pdf([""]))
    document = parse(written.getvalue(), "papers.zip")
    assert document.text == "# good.txt\n\nThe Anna lies at berth 4."
    assert [warning.split(" was not read: ")[0] for warning in document.warnings] == ["bad.docx", "form.pdf"]


def test_a_scan_is_recognised_word_for_word() -> None:
    document = parsed("scan.jpg")
    assert document.ocr_pages == 1
    assert pages(document)[1].split() == " ".join(SCANS["english"]).split()


def test_a_photograph_held_upright_is_turned_first() -> None:
    assert parsed("sideways.jpg").text.split() == " ".join(SCANS["english"]).split()


def test_a_scan_in_a_language_that_is_not_installed_says_so() -> None:
    if "deu" in recognition.languages()[1]:
        assert parsed("scan.png").text.split() == " ".join(SCANS["german"]).split()
    else:
        [warning] = parsed("scan.png").warnings
        assert "deu" in warning


def test_each_page_of_a_fax_is_recognised() -> None:
    document = parsed("fax.tiff")
    assert document.ocr_pages == 3
    assert pages(document)[1].split() == " ".join(SCANS["english"]).split()
    assert pages(document)[3].split() == " ".join(SCANS["crane"]).split()


def test_a_part_of_a_fax() -> None:
    assert inspect(read("fax.tiff"), "fax.tiff") == Inspection("image/tiff", 3, frozenset({1, 2, 3}))
    part = parse_pages(read("fax.tiff"), "fax.tiff", first=3, last=3)
    assert {number: text.split() for number, text in pages(part).items()} == {3: " ".join(SCANS["crane"]).split()}


def test_of_a_mixed_pdf_only_the_scanned_page_is_recognised() -> None:
    document = parsed("mixed.pdf")
    assert inspect(read("mixed.pdf"), "mixed.pdf").scanned == {2}
    assert document.ocr_pages == 1
    first, scanned, last = pages(document).values()
    assert first.startswith("# Arrival")
    assert scanned.split() == " ".join(SCANS["crane"]).split()
    assert last.startswith("# Departure")


def test_a_scanned_pdf_can_be_read_in_parts() -> None:
    data = read("scan.pdf")
    assert inspect(data, "scan.pdf") == Inspection("application/pdf", 2, frozenset({1, 2}))
    part = parse_pages(data, "scan.pdf", first=2, last=2)
    assert {number: text.split() for number, text in pages(part).items()} == {2: " ".join(SCANS["crane"]).split()}


def test_an_empty_scanned_page_is_said() -> None:
    written = io.BytesIO()
    with Image.open(io.BytesIO(read("scan.jpg"))) as whole:
        page = whole.crop((0, 0, whole.width, whole.height // 5))
        page.save(written, "TIFF", save_all=True, append_images=[Image.new("L", page.size, 250)])
    document = parse(written.getvalue(), "a.tiff")
    assert document.warnings == ("No text was recognised on page 2.",)
    assert pages(document)[2] == ""


def test_light_letters_on_transparent_ground_are_seen_as_on_paper() -> None:
    with Image.open(io.BytesIO(read("scan.jpg"))) as page:
        letters = page.convert("L").point(lambda value: 255 - value)
    drawn = Image.new("LA", letters.size, 0)
    drawn.putalpha(letters)
    written = io.BytesIO()
    drawn.save(written, "PNG")
    assert "Harbour regulations for the winter season" in parse(written.getvalue(), "a.png").text


def test_records_name_their_fields() -> None:
    document = parse(
        b'{"name": "Anna", "berths": [{"number": 4, "fees": [1, 2.50]}, {"number": 7, "owner": {"name": "J\\u00f6rg"}}],'
        b' "crew": {"mate": null, "cook": "Ute"}}',
        "ships.json",
    )
    assert document.text == (
        "name: Anna\n\n# berths\n\nnumber: 4; fees: 1, 2.5\nnumber: 7; owner.name: Jörg\n\n# crew\n\ncook: Ute"
    )


@pytest.mark.parametrize("name", ["ships.jsonl", "ships.ndjson", "unnamed"])
def test_lines_of_json_are_records(name: str) -> None:
    data = b'{"name": "Anna", "berth": 4}\n\n{"name": "Juliana", "berth": 7}\n'
    assert parse(data, name).text == "name: Anna; berth: 4\nname: Juliana; berth: 7"


def test_text_that_only_begins_like_json_is_text() -> None:
    assert parse(b"[sic] is what editors write.", "notes.txt").text == "[sic] is what editors write."


@pytest.mark.parametrize("name", [name for name in NAMES if not name.endswith((".txt", ".csv", ".tsv"))])
def test_the_name_does_not_matter_where_the_content_tells(name: str) -> None:
    assert inspect(read(name), "x.txt").mime_type == inspect(read(name), name).mime_type
