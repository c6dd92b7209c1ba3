"""GitHub's JSON: which descriptions of a repository are usable, and how they are bounded."""

import time
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
import requests

from tracker.config import Settings
from tracker.demo.github import Fault, GitHub
from tracker.github.repository import Repository, UnusableResponse, parse_repository_response
from tracker.github.session import GitHubSession

Parse = Callable[..., Repository]


@pytest.fixture
def parse(github: GitHub, settings: Settings) -> Parse:
    """Return a function that parses the stand-in's response with a fault."""

    def accept(response: requests.Response) -> None:
        """Accept any response."""

    def parse(fault: Fault, host: str = "github.com") -> Repository:
        github.fault = fault
        with GitHubSession(settings, accept) as session:
            url, deadline = f"{github.url}/repos/pallets/flask", time.monotonic() + 5
            response = session.fetch(url, deadline, force_refresh=True)
            return parse_repository_response(response, host)

    return parse


@pytest.mark.parametrize(
    ("member", "value", "field", "parsed"),
    [
        ("id", 2**63 - 1, "id", 2**63 - 1),
        ("stargazers_count", 0, "stars", 0),
        ("stargazers_count", 2**63 - 1, "stars", 2**63 - 1),
        ("description", None, "description", None),
        ("description", "", "description", ""),
        ("description", "Ünïcode 🐍", "description", "Ünïcode 🐍"),
        ("language", None, "language", None),
        ("language", "C++", "language", "C++"),
        ("archived", True, "archived", True),
        ("pushed_at", None, "pushed_at", None),
        (
            "pushed_at",
            "2025-01-02T03:04:05+02:00",
            "pushed_at",
            datetime(2025, 1, 2, 1, 4, 5, tzinfo=timezone.utc),
        ),
        ("html_url", "http://github.com/Pallets/Flask", "url", "http://github.com/Pallets/Flask"),
    ],
)
def test_a_member_becomes_a_field(
    parse: Parse, member: str, value: Any, field: str, parsed: Any
) -> None:
    assert getattr(parse(Fault(changes={member: value})), field) == parsed


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("id", 0),
        ("id", 2**63),
        ("id", "1"),
        ("id", 1.5),
        ("id", True),
        ("full_name", None),
        ("full_name", "flask"),
        ("full_name", "pallets/flask\n"),
        ("full_name", "pallets/.."),
        ("full_name", "o/" + "n" * 101),
        ("html_url", None),
        ("html_url", "javascript:alert(1)"),
        ("html_url", "/pallets/flask"),
        ("html_url", "ftp://github.com/pallets/flask"),
        ("html_url", "https://github.com/pallets/flask\n"),
        ("html_url", "https://github.com/pallets/flask?\u202e"),
        ("html_url", "https://github.com/pallets/click"),
        ("html_url", "https://github.com/pallets/flask/issues"),
        ("html_url", "https://github.com.evil.example/pallets/flask"),
        ("html_url", "https://github.com@evil.example/pallets/flask"),
        ("html_url", "https://evil.example\\@github.com/pallets/flask"),
        ("html_url", "https://somebody@github.com/pallets/flask"),
        ("html_url", "https://github.com:abc/pallets/flask"),
        ("html_url", "https://["),
        ("html_url", "https://[::::]/pallets/flask"),
        ("description", 1),
        ("description", ["text"]),
        ("language", {"name": "Python"}),
        ("stargazers_count", -1),
        ("stargazers_count", None),
        ("stargazers_count", float("inf")),
        ("archived", None),
        ("archived", "false"),
        ("pushed_at", ""),
        ("pushed_at", 1_700_000_000),
        ("pushed_at", "2025-01-02T03:04:05"),
    ],
)
def test_a_value_that_github_never_sends_is_unusable(parse: Parse, member: str, value: Any) -> None:
    with pytest.raises(UnusableResponse, match="unusable fields"):
        parse(Fault(changes={member: value}))


@pytest.mark.parametrize(
    "members", [("id",), ("full_name",), ("html_url",), ("stargazers_count", "watchers")]
)
def test_a_required_member_must_be_there(parse: Parse, members: tuple[str, ...]) -> None:
    with pytest.raises(UnusableResponse, match="unusable fields"):
        parse(Fault(missing=members))


@pytest.mark.parametrize(
    ("member", "field", "default"),
    [
        ("description", "description", None),
        ("language", "language", None),
        ("archived", "archived", False),
        ("pushed_at", "pushed_at", None),
    ],
)
def test_an_older_server_may_lack_a_member(
    parse: Parse, member: str, field: str, default: Any
) -> None:
    assert getattr(parse(Fault(missing=member)), field) == default


def test_an_older_server_calls_the_stars_watchers(parse: Parse) -> None:
    assert parse(Fault(missing="stargazers_count", changes={"watchers": 7})).stars == 7
    assert parse(Fault(changes={"watchers": 7})).stars == 70000


def test_the_page_is_on_the_web_host_of_the_api(parse: Parse) -> None:
    url = "https://ghe.example.com:8443/pallets/flask"
    assert parse(Fault(changes={"html_url": url}), "ghe.example.com").url == url
    for host in ("github.com", "example.com"):
        with pytest.raises(UnusableResponse, match="unusable fields: html_url"):
            parse(Fault(changes={"html_url": url}), host)


@pytest.mark.parametrize("body", [b"", b"null", b'"text"', b"\xff\xfe", b"1" * 10_000, b"{" * 9])
def test_a_body_that_is_no_json_object_is_unusable(parse: Parse, body: bytes) -> None:
    with pytest.raises(UnusableResponse):
        parse(Fault(body=body))


@pytest.mark.parametrize(
    ("member", "limit"),
    [("description", 1_000), ("language", 100)],
    ids=["description", "language"],
)
def test_a_long_text_is_cut(parse: Parse, member: str, limit: int) -> None:
    for length in (limit, limit + 1, 150_000):
        parsed = getattr(parse(Fault(changes={member: "é" * length})), member)
        assert parsed == "é" * limit


def test_a_url_has_at_most_300_characters(parse: Parse) -> None:
    longest = "https://github.com/pallets/flask?".ljust(300, "a")
    assert parse(Fault(changes={"html_url": longest})).url == longest
    for length in (301, 500_000):
        with pytest.raises(UnusableResponse, match="unusable fields"):
            parse(Fault(changes={"html_url": longest.ljust(length, "a")}))


@pytest.mark.parametrize(
    "text",
    [
        "\0",
        "\n\r\t",
        "\x1b[31m",
        "\x7f",
        "\x9b31m",
        "\udfff\ud800",
        "\u200e\u200f\u061c",
        "\u202a\u202b\u202c\u202d\u202e",
        "\u2066\u2067\u2068\u2069",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("member", ["description", "language"])
def test_control_and_bidi_characters_are_dropped(parse: Parse, member: str, text: str) -> None:
    parsed = getattr(parse(Fault(changes={member: f"be{text}fore"})), member)
    printable = "".join(filter(str.isprintable, text))
    assert parsed == f"be{printable}fore"


@pytest.mark.parametrize("text", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-14:00"])
def test_a_time_beyond_utc_is_none(parse: Parse, text: str) -> None:
    assert parse(Fault(changes={"pushed_at": text})).pushed_at is None
