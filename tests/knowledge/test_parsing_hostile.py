"""Hostile files end in a reason, within time and memory; nobody else's file notices."""

import contextlib
import signal
import time
from concurrent.futures import ThreadPoolExecutor

import psutil
import pytest

from knowledge.parsing import fork_server
from knowledge.parsing.documents import INVALID_FILE, UNSUPPORTED_FILE, Limits, UnreadableFile
from knowledge.parsing.reading import inspect, parse, parse_pages
from tests.documents import NAMES, read
from tests.knowledge import bombs, office_files
from tests.knowledge.resident import MEBIBYTE, watched

# The proof of promise 13 runs them all, with the real limits; here a slow one need not take its whole time.
QUICK = Limits(seconds=1)


@pytest.mark.parametrize("name", sorted(bombs.REFUSED.keys() - bombs.DEAR))
def test_a_bomb_is_refused_within_memory_and_the_next_file_is_read(name: str) -> None:
    data = bombs.REFUSED[name]()
    with watched() as peak, pytest.raises(UnreadableFile) as caught:
        parse(data, name, QUICK)
    assert caught.value.code in (INVALID_FILE, UNSUPPORTED_FILE)
    assert len(caught.value.message) > 20
    assert peak.bytes <= 512 * MEBIBYTE
    assert parse(b"The next file.", "next.txt").text == "The next file."


@pytest.mark.parametrize("name", sorted(bombs.ENDURED.keys() - bombs.DEAR))
def test_an_absurd_file_ends_within_memory(name: str) -> None:
    data = bombs.ENDURED[name]()
    with watched() as peak:
        try:
            assert parse(data, name, QUICK).text
        except UnreadableFile as error:
            assert error.code == INVALID_FILE
    assert peak.bytes <= 512 * MEBIBYTE


def test_entities_are_not_expanded() -> None:
    assert "laughlaugh" not in parse(bombs.ENDURED["laughs.html"](), "a.html").text


def test_mails_in_mails_are_read_to_a_depth_and_the_rest_is_said() -> None:
    document = parse(bombs.ENDURED["letters.eml"](), "a.eml")
    assert document.text.count("From: a@example.com") == 4
    [warning] = document.warnings
    assert "nested too deeply" in warning


@pytest.mark.parametrize("name", NAMES)
def test_a_file_that_was_cut_off_is_refused_or_read_as_far_as_it_goes(name: str) -> None:
    data = bombs.truncated(read(name))
    if name.endswith((".txt", ".csv", ".tsv", ".rtf", ".eml")):  # text may end anywhere
        assert parse(data, name, Limits(seconds_per_scan=5)).text
        return
    with pytest.raises(UnreadableFile, match="damaged"):
        parse(data, name)


def test_text_without_what_nobody_sees() -> None:
    hidden = "\U000e0069\U000e0067nore"
    text = f"pass\u200bword \ufeffA\u00adnna \u202eevil\u202c {hidden} שלום 👩\u200d💻 می\u200cخواهم"
    assert parse(text.encode(), "a.txt").text == "password Anna evil nore שלום 👩\u200d💻 می\u200cخواهم"


def test_control_characters_are_blanks() -> None:
    assert parse(b"Text of a form. " * 20 + b"one\x07two", "a.txt").text.endswith("one two")


def test_half_a_character_does_not_reach_the_database() -> None:
    assert parse(rb'{"name": "\ud83d ship"}', "a.json").text == "name: \ufffd ship"


@pytest.mark.parametrize("ask", [parse, inspect])
def test_a_pdf_of_too_many_pages_says_so(ask: object) -> None:
    data = office_files.pdf(["Text."] * 4)
    with pytest.raises(UnreadableFile, match="4 pages; the limit is 3"):
        (inspect if ask is inspect else parse)(data, "a.pdf", Limits(pages=3))


def test_pages_that_are_not_there_are_refused() -> None:
    with pytest.raises(UnreadableFile, match="has 2 pages, not 2 to 3"):
        parse_pages(read("handbook.pdf"), "a.pdf", first=2, last=3)
    with pytest.raises(UnreadableFile, match="Only PDF and TIFF"):
        parse_pages(b"Text.", "a.txt", first=1, last=1)


def test_a_parser_that_crashes_takes_only_its_own_part_with_it() -> None:
    """A real fault of native code cannot be had to order: the step is ended by the signal that such a fault sends."""
    slow = b"ship,berth\n" + b"Anna,4\n" * 1_000_000
    parse(b"Text.", "a.txt")
    with ThreadPoolExecutor(2) as pool:
        crashing = pool.submit(parse, office_files.zipped({"a.csv": slow, "b.txt": "The other."}), "a.zip")
        step = _step_of(psutil.Process(fork_server.current_server()._process.pid))
        assert pool.submit(parse, b"Meanwhile.", "c.txt").result().text == "Meanwhile."
        step.send_signal(signal.SIGSEGV)
        document = crashing.result()
    assert document.text == "# b.txt\n\nThe other."
    assert document.warnings == ("a.csv was not read: The file is damaged: the parser fails on it.",)


def _step_of(server: psutil.Process) -> psutil.Process:
    """The process that reads a part of a file: the server's grandchild."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        for child in server.children():
            with contextlib.suppress(psutil.NoSuchProcess):  # one that read the text is done meanwhile
                if steps := child.children():
                    return steps[0]
    raise AssertionError("no step began")


def test_a_damaged_page_is_said_and_the_others_are_read() -> None:
    page = b"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 612 792] /Resources << /Font << /F1 3 0 R >> >> /Contents 5 0 R >>"
    data = office_files.assembled(
        [
            b"<< /Type /Catalog /Pages 2 0 R >>",
            b"<< /Type /Pages /Kids [4 0 R 9 0 R] /Count 2 >>",
            b"<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
            page,
            office_files.pdf_stream(b"BT /F1 12 Tf 72 720 Td (The Anna lies at berth 4.) Tj ET"),
        ],
        "",
    )
    document = parse(data, "a.pdf")
    assert document.text == "The Anna lies at berth 4."
    assert document.warnings == ("Page 2 was not read: it is damaged.",)


def test_a_page_that_takes_too_long_is_said_and_the_others_are_read() -> None:
    document = parse(read("mixed.pdf"), "mixed.pdf", Limits(seconds_per_scan=0.01))
    assert document.ocr_pages == 0
    assert document.text.startswith("# Arrival")
    [warning] = document.warnings
    assert warning.startswith("Page 2 is an image and was not read: Reading the file takes too long.")


def test_a_scan_of_which_no_page_can_be_read_is_refused() -> None:
    with pytest.raises(UnreadableFile, match="too long"):
        parse(read("scan.jpg"), "scan.jpg", Limits(seconds_per_scan=0.01))
