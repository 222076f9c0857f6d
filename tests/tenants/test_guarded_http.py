"""How URLs are read."""

import pytest

from tenants.guarded_http import Refused, Target, parse_target


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://example.org", ("http", "example.org", 80, "/")),
        ("HTTPS://Example.ORG./a/b?c=d#e", ("https", "example.org", 443, "/a/b?c=d")),
        ("https://example.org:8443/ä ö".replace(" ", "%20"), ("https", "example.org", 8443, "/%C3%A4%20%C3%B6")),
        ("http://bücher.example/", ("http", "xn--bcher-kva.example", 80, "/")),
        ("http://[2606:4700::1111]:80/", ("http", "2606:4700::1111", 80, "/")),
        ("http://8.8.8.8/", ("http", "8.8.8.8", 80, "/")),
        ("http://a/b/../../c", ("http", "a", 80, "/c")),
    ],
)
def test_a_url_is_read(url, target):
    assert parse_target(url) == Target(*target)


@pytest.mark.parametrize(
    "url",
    [
        "", "example.org", "//example.org/", "http:example.org", "http:/example.org", "http:///path", "http://", "ftp://a/b",
        "file:///etc/passwd", "gopher://a:70/_x", "data:text/plain,x", "javascript:alert(1)", "dict://a:11211/",
        "http://user@example.org/", "http://user:password@example.org/", "http://example.org@127.0.0.1/", "http://@a/",
        "http://2130706433/", "http://0x7f000001/", "http://0x7f.1/", "http://0177.0.0.1/", "http://127.1/",
        "http://127.0.0.1.0/", "http://00000177.1/", "http://999.1.1.1/", "http://1.2.3.4.5/", "http://a.0x10/",
        "http://%31%32%37.0.0.1/", "http://exa%6dple.org/", "http://localhost%00.example/", "http://１２７.０.０.１/",
        "http://exa mple.org/", "http://example.org/a b", "http://example.org/\r\nHost:", "http://example.org\\@a/",
        "http://example.org:99999/", "http://example.org:-1/", "http://example.org:8o/", "http://[::1", "http://::1/",
        "http://[fe80::1%25eth0]/", "http://[::ffff:999.1.1.1]/", "http://.example.org/", "http://a..b/", "http://../",
        "http://example.org/\x00", "http://\u202eexample.org/", "http://example.org/" + "a" * 5000,
    ],
)  # fmt: skip
def test_what_could_mean_two_things_is_refused(url):
    with pytest.raises(Refused):
        parse_target(url)


def test_the_host_header_names_a_port_only_where_it_is_unusual():
    assert parse_target("http://[2606:4700::1111]:8080/").authority == "[2606:4700::1111]:8080"
    assert parse_target("https://example.org:443/").authority == "example.org"
    assert parse_target("https://example.org:80/").authority == "example.org:80"
