"""Foreign text on the pages: it is shown, and does nothing."""

import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import pytest
from flask.testing import FlaskClient
from markupsafe import escape
from werkzeug.test import TestResponse

from tracker.database import queries
from tracker.database.connection import connection
from tracker.web.filters import web_url, with_links

Get = Callable[..., TestResponse]
EVIL = """<script>alert('1')</script>"><img src=x onerror=alert(1)> \u202ejs.exe"""

VIEWS = ["/web/repositories", "/web/repositories/pallets/flask", "/web/changes", "/web/import"]
VIEWS += ["/web/help"]


@pytest.fixture
def evil(client: FlaskClient) -> int:
    """A task with hostile text in every field; return its id."""
    values = {
        "title": EVIL.strip(),
        "description": f'{EVIL} javascript:alert(1) data:text/html,x https://a.example/?"><b>',
        "tags": [EVIL[:50]],
        "repository": "pallets/flask",
        "repository_url": "javascript:alert(1)",
        "repository_description": EVIL,
        "language": EVIL[:40],
        "license": EVIL[:40],
        "topics": [EVIL[:40]],
        "homepage": "JavaScript:alert(1)",
        "visibility": EVIL[:20],
        "issue": 1,
    }
    with connection():
        return queries.insert_task(values).id


class Elements(HTMLParser):
    """The elements of a page: their names, and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes += attrs


def test_no_text_becomes_an_element_or_a_script(get: Get, evil: int) -> None:
    for path in ("/", f"/web/tasks/{evil}", f"/?q={EVIL}", f"/?{EVIL}=1", f"/?add={EVIL}"):
        text = get(path).text
        assert str(escape("<script>alert('1')")) in text
        assert "<script>alert" not in text
        elements = Elements(text)
        assert "img" not in elements.names
        for name, value in elements.attributes:
            if name in {"href", "src", "action"}:
                assert re.match(r"/|https?://|#", value or ""), value


def test_foreign_text_is_isolated(get: Get, evil: int) -> None:
    for path in ("/", f"/web/tasks/{evil}"):
        for start in (match.start() for match in re.finditer("\u202e", get(path).text)):
            before = get(path).text[:start]
            inside = before.rpartition("<bdi>")[2]
            holds = "</bdi>" not in inside or before.rpartition("<")[2].startswith(
                ("input", "textarea")
            )
            assert holds, before[-200:]


@pytest.mark.parametrize("sign", ["\u202e", "\x07"])
def test_characters_that_change_other_text_are_shown_escaped(
    create: Callable[..., dict[str, Any]], get: Get, sign: str
) -> None:
    text = f"a{sign}b"
    task = create(title=text, tags=[text], description=text)
    shown = f"a{sign.encode('unicode_escape').decode()}b"
    for path, number in (("/", 2), (f"/web/tasks/{task['id']}", 4)):
        page = get(path).text
        assert page.count(shown) == number
        for match in re.finditer(sign, page):  # a form has the text as it is stored
            assert page[: match.start()].rpartition("<")[2].startswith(("input", "textarea"))


def test_no_page_has_inline_script_or_style(get: Get, evil: int) -> None:
    for path in ("/", f"/web/tasks/{evil}", "/web/login", "/web/nope", *VIEWS):
        response = get(path)
        elements = Elements(response.text)
        assert "style" not in elements.names
        names = {name for name, _ in elements.attributes}
        assert {name for name in names if name == "style" or name.startswith("on")} == set()
        assert re.findall(r"<script[^>]*>(.*?)</script>", response.text) == [""]
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "require-trusted-types-for 'script'" in policy
        assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("text", "link"),
    [
        ("https://example.org/a?b=c", True),
        ("http://example.org", True),
        ("javascript:alert(1)", False),
        ("//evil.example", False),
        ("data:text/html,x", False),
        ("https://", False),
        ("https://[", False),
        ("", False),
        (None, False),
    ],
)
def test_only_web_addresses_are_links(text: str | None, link: bool) -> None:
    assert (web_url(text) is not None) == link


def test_a_description_keeps_its_text_around_links() -> None:
    html = with_links("See https://a.example/x?y=1&z=2), <b> or http://b.example.")
    assert re.findall('href="([^"]*)"', html) == [
        "https://a.example/x?y=1&amp;z=2",
        "http://b.example",
    ]
    assert html.startswith("See <a ")
    assert html.endswith("</a>.")
    assert "</a>), &lt;b&gt; or <a" in html
    assert with_links(None) == ""


def test_static_files_are_small_and_cached(client: FlaskClient, get: Get) -> None:
    names: dict[str, Any] = dict(
        re.findall(r'"(/web/static/[a-z.]+)(\?v=[0-9a-f]{12})"', get("/").text)
    )
    sizes = {
        "/web/static/page.js": 50_000,
        "/web/static/page.css": 20_000,
        "/web/static/icon.svg": 1_000,
    }
    assert names.keys() == sizes.keys()
    for name, limit in sizes.items():
        response = client.get(name + names[name], buffered=True)
        assert response.status_code == 200
        assert len(response.data) < limit
        assert "immutable" in response.headers["Cache-Control"]
        other = client.get(f"{name}?v=000000000000", buffered=True)  # of another version
        assert other.headers["Cache-Control"] == "no-cache"
    assert client.get("/web/static/../pages.py").status_code == 404


def test_links_have_the_prefix_of_a_proxy(client: FlaskClient, evil: int) -> None:
    for path in ("/", f"/web/tasks/{evil}", *VIEWS):
        text = client.get(path, environ_overrides={"SCRIPT_NAME": "/tracker"}).text
        for address in re.findall(r'(?:href|src|action)="(/[^"]*)"', text):
            assert address.startswith("/tracker/"), address
        assert 'data-root="/tracker"' in text


def test_a_long_line_and_a_long_link_are_read_quickly(
    get: Callable[..., TestResponse], create: Callable[..., dict[str, Any]]
) -> None:
    task = create(description="http://x" + ")" * 9_980 + "a")
    started = time.process_time()
    assert get("/web/preview", query_string={"line": " " * 15_000 + "x"}).status_code == 200
    assert get(f"/web/tasks/{task['id']}").status_code == 200
    assert time.process_time() - started < 0.5
