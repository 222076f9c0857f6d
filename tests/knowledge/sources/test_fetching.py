"""Fetching from servers on loopback: what comes back, what is refused, and that nothing takes for ever."""

import gzip
import io
import socket
import threading
import time
import zlib
from hashlib import sha256
from typing import Any

import pytest

from knowledge.sources.fetching import Fetched, Version, fetch
from tenants.guarded_http import Limits, Refused, Unreachable
from tests.knowledge.sources.servers import Authority, Site, site

TEXT = b"The heron nests on the northern island."
QUICK = Limits(content_bytes=1_000_000, connect_seconds=2, read_seconds=0.5, whole_seconds=2)


def get(url: str, *, known: Version | None = None, limits: Limits = QUICK) -> tuple[Fetched | None, bytes]:
    into = io.BytesIO()
    fetched = fetch(url, into=into, limits=limits, known=known, check=lambda: None)
    return fetched, into.getvalue()


def resolves_to(monkeypatch: Any, **names: list[str]) -> list[str]:
    """Names of a test; returns the list of those that were asked for, in order."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def answer(host: str, port: int, *args: Any, **kwargs: Any) -> Any:
        asked.append(host)
        texts = names.get(host.replace(".", "_"))
        if texts is None:
            return real(host, port, *args, **kwargs)
        address = texts.pop(0) if len(texts) > 1 else texts[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port))]

    monkeypatch.setattr(socket, "getaddrinfo", answer)
    return asked


def test_a_document_comes_with_its_version_and_name(web: Site) -> None:
    headers = {"ETag": '"7"', "Last-Modified": "Sat, 01 Nov 2025 00:00:00 GMT", "Content-Type": "text/plain"}
    web.pages["/docs/heron.txt?v=1"] = (200, headers, TEXT)
    fetched, content = get(web.url("/docs/heron.txt?v=1"))
    assert content == TEXT
    version = Version('"7"', "Sat, 01 Nov 2025 00:00:00 GMT")
    assert fetched == Fetched("heron.txt", len(TEXT), sha256(TEXT).hexdigest(), version)


def test_the_request_says_who_asks_and_carries_nothing_else(web: Site, monkeypatch: Any) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    web.pages["/"] = (302, {"Location": "/next", "Set-Cookie": "a=b"}, b"")
    web.pages["/next"] = (200, {}, TEXT)
    get(web.url())
    for seen in web.seen:
        assert seen.headers == {
            "host": f"127.0.0.1:{web.port}",
            "user-agent": "Atrium/1.0 (document fetcher)",
            "accept": "*/*",
            "accept-encoding": "identity",
        }


@pytest.mark.parametrize(
    ("headers", "name"),
    [
        ({"Content-Disposition": 'attachment; filename="report.pdf"'}, "report.pdf"),
        ({"Content-Disposition": "attachment; filename*=UTF-8''na%C3%AFve.txt"}, "naïve.txt"),
        ({"Content-Disposition": 'attachment; filename="../../etc/passwd"', "Content-Type": "text/x-none"}, "passwd"),
        ({"Content-Disposition": 'attachment; filename="C:\\\\temp\\\\a.doc"'}, "a.doc"),
        ({"Content-Type": "text/html; charset=utf-8"}, "page.html"),
        ({}, "page"),
    ],
)
def test_the_answer_names_the_file(web: Site, headers: dict[str, str], name: str) -> None:
    web.pages["/page"] = (200, headers, TEXT)
    fetched, _ = get(web.url("/page"))
    assert fetched is not None and fetched.filename == name


def test_a_known_version_is_not_sent_again(web: Site) -> None:
    def conditional(handler: Any) -> None:
        same = handler.headers["If-None-Match"] == '"7"'
        handler.send_response(304 if same else 200)
        handler.send_header("Content-Length", "0" if same else str(len(TEXT)))
        handler.end_headers()
        handler.wfile.write(b"" if same else TEXT)

    web.pages["/"] = conditional
    assert get(web.url(), known=Version('"7"'))[0] is None
    assert get(web.url(), known=Version('"6"'))[1] == TEXT


def test_redirects_are_followed_five_times(web: Site) -> None:
    for number in range(6):
        web.pages[f"/{number}"] = (302, {"Location": f"{number + 1}"}, b"")
    web.pages["/6"] = (200, {}, TEXT)
    assert get(web.url("/1"))[1] == TEXT
    with pytest.raises(Refused, match="redirects more than 5 times"):
        get(web.url("/0"))


@pytest.mark.parametrize(
    "location",
    ["http://127.0.0.2:{port}/", "http://[::1]:{port}/", "http://localhost:{port}/", "file:///etc/passwd",
     "//10.0.0.1/", "http://169.254.169.254/latest/", "http://2130706433:{port}/", "http://u:p@127.0.0.1:{port}/",
     "gopher://127.0.0.1:{port}/", "", "http://[::ffff:127.0.0.1]:{port}/"],
)  # fmt: skip
def test_every_redirect_is_checked_like_the_first_url(web: Site, monkeypatch: Any, location: str) -> None:
    resolves_to(monkeypatch, localhost=["127.0.0.3"])
    web.pages["/"] = (302, {"Location": location.format(port=web.port)}, b"")
    with pytest.raises(Refused):
        get(web.url())
    assert web.connections == 1


def test_a_name_that_changes_its_mind_is_asked_once_and_believed_once(web: Site, monkeypatch: Any) -> None:
    asked = resolves_to(monkeypatch, rebind_example=["127.0.0.1", "127.0.0.9"])
    web.pages["/"] = (200, {}, TEXT)
    assert get(web.url(host="rebind.example"))[1] == TEXT
    assert [host for host in asked if not host[0].isdigit()] == ["rebind.example"]
    assert web.seen[0].headers["host"] == f"rebind.example:{web.port}"
    with pytest.raises(Refused, match="does not lead to a public address"):
        get(web.url(host="rebind.example"))
    assert web.connections == 1


def test_loopback_is_refused_unless_it_is_allowed(web: Site, settings: Any) -> None:
    settings.FETCH_ALLOWED_NETWORKS = []
    for host in ("127.0.0.1", "localhost", "localhost."):
        with pytest.raises(Refused, match="does not lead to a public address"):
            get(web.url(host=host))
    assert web.connections == 0


def test_a_public_host_has_two_ports(monkeypatch: Any) -> None:
    resolves_to(monkeypatch, a_example=["8.8.8.8"])
    with pytest.raises(Refused, match="port must be 80 or 443"):
        get("http://a.example:22/")


@pytest.mark.parametrize(("status", "failure"), [(404, Refused), (403, Refused), (204, Refused), (304, Refused),
                                                 (503, Unreachable), (429, Unreachable)])  # fmt: skip
def test_a_bad_status_says_whether_to_try_again(web: Site, status: int, failure: type[Exception]) -> None:
    web.pages["/"] = (status, {}, b"")
    with pytest.raises(failure, match=f"status {status}"):
        get(web.url())


def test_too_much_is_refused_before_and_while_it_comes(web: Site) -> None:
    limits = Limits(1000, read_seconds=1)
    web.pages["/announced"] = (200, {"Content-Length": "1001"}, b"x" * 1001)
    chunk = b"3e8\r\n" + b"x" * 1000 + b"\r\n"
    web.pages["/chunked"] = (200, {"Transfer-Encoding": "chunked"}, chunk + chunk + b"0\r\n\r\n")
    web.pages["/exact"] = (200, {"Transfer-Encoding": "chunked"}, chunk + b"0\r\n\r\n")
    for path in ("/announced", "/chunked"):
        with pytest.raises(Refused, match="more than 1,000 bytes"):
            get(web.url(path), limits=limits)
    assert len(get(web.url("/exact"), limits=limits)[1]) == 1000


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("deflate", zlib.compress)])
def test_an_encoded_document_is_decoded(web: Site, encoding: str, pack: Any) -> None:
    web.pages["/"] = (200, {"Content-Encoding": encoding}, pack(TEXT * 100))
    assert get(web.url())[1] == TEXT * 100


def test_a_bomb_is_refused_when_it_has_grown_too_large(web: Site) -> None:
    web.pages["/"] = (200, {"Content-Encoding": "gzip, gzip"}, gzip.compress(gzip.compress(bytes(50_000_000))))
    into = io.BytesIO()
    with pytest.raises(Refused, match="more than 1,000,000 bytes"):
        fetch(web.url(), into=into, limits=QUICK, check=lambda: None)
    assert len(into.getvalue()) <= 1_000_000


def test_content_that_is_not_encoded_as_it_says_is_refused(web: Site) -> None:
    web.pages["/"] = (200, {"Content-Encoding": "gzip"}, b"no gzip at all")
    with pytest.raises(Refused, match="not encoded as it says"):
        get(web.url())


def test_an_empty_document_is_refused(web: Site) -> None:
    web.pages["/"] = (200, {}, b"")
    with pytest.raises(Refused, match="empty"):
        get(web.url())


def test_a_document_that_breaks_off_may_be_tried_again(web: Site) -> None:
    web.pages["/"] = (200, {"Content-Length": "1000"}, TEXT)
    with pytest.raises(Unreachable, match=r"connection to 127\.0\.0\.1 failed"):
        get(web.url())


def drip(*, head: bool) -> Any:
    """A page that sends a byte now and then: of its headers, or of its body."""

    def page(handler: Any) -> None:
        if not head:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        else:
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nX-Slow: ")
        ended = threading.Event()
        while not ended.wait(0.05):
            handler.wfile.write(b"x")
            handler.wfile.flush()

    return page


@pytest.mark.parametrize("head", [True, False])
def test_a_server_that_drips_is_cut_off_at_the_deadline(web: Site, head: bool) -> None:
    web.pages["/"] = drip(head=head)
    started = time.monotonic()
    with pytest.raises(Unreachable, match="too long"):
        get(web.url(), limits=Limits(1000, read_seconds=5, whole_seconds=0.5))
    assert time.monotonic() - started < 3


def test_a_server_that_says_nothing_is_given_up(web: Site) -> None:
    silent = threading.Event()
    web.pages["/"] = lambda handler: silent.wait(10)
    try:
        with pytest.raises(Unreachable, match="too long"):
            get(web.url())
    finally:
        silent.set()


def test_nobody_there_may_be_tried_again(settings: Any) -> None:
    settings.FETCH_ALLOWED_NETWORKS = ["127.0.0.1/32"]
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(Unreachable):
            get(f"http://127.0.0.1:{bound.getsockname()[1]}/")


def test_the_check_between_pieces_ends_the_fetch(web: Site) -> None:
    class Lost(Exception):
        pass

    def lost() -> None:
        raise Lost

    web.pages["/"] = (200, {}, TEXT)
    with pytest.raises(Lost):
        fetch(web.url(), into=io.BytesIO(), limits=QUICK, check=lost)
    assert web.connections == 0


@pytest.fixture
def authority(tmp_path: Any, monkeypatch: Any) -> Authority:
    """Trusted as the system's own are."""
    made = Authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


def test_the_certificate_is_checked_against_the_name_not_the_address(
    web: Site, authority: Authority, monkeypatch: Any
) -> None:
    resolves_to(monkeypatch, right_example=["127.0.0.1"], wrong_example=["127.0.0.1"])
    with site(authority.certificate("right.example")) as secure:
        secure.pages["/"] = (200, {}, TEXT)
        assert get(secure.url(host="right.example"))[1] == TEXT
        for host in ("wrong.example", "127.0.0.1"):
            with pytest.raises(Refused, match="certificate"):
                get(secure.url(host=host))
        assert [seen.headers["host"] for seen in secure.seen] == [f"right.example:{secure.port}"]


def test_a_certificate_of_nobody_we_know_is_refused(web: Site, tmp_path: Any, monkeypatch: Any) -> None:
    (tmp_path / "other").mkdir()
    stranger = Authority(tmp_path / "other")
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    resolves_to(monkeypatch, right_example=["127.0.0.1"])
    with site(stranger.certificate("right.example")) as secure, pytest.raises(Refused, match="certificate"):
        get(secure.url(host="right.example"))


def test_no_redirect_leads_from_https_to_http(web: Site, authority: Authority, monkeypatch: Any) -> None:
    resolves_to(monkeypatch, right_example=["127.0.0.1"])
    web.pages["/"] = (200, {}, TEXT)
    with site(authority.certificate("right.example")) as secure:
        secure.pages["/"] = (302, {"Location": web.url()}, b"")
        with pytest.raises(Refused, match="from https to http"):
            get(secure.url(host="right.example"))
    assert web.connections == 0
