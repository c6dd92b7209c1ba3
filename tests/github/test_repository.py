"""Repositories: the names that users may write, and the answers of GitHub that are usable."""

from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from requests_cache import CachedSession

from tracker.config import Settings
from tracker.demo.github import Fault, GitHub
from tracker.github.repository import UnusableAnswer, parse_repository, read_answer
from tracker.github.session import open_session


@pytest.mark.parametrize(
    "text",
    [
        "pallets/flask",
        "  pallets/flask\t\n",
        "pallets/flask.git",
        "https://github.com/pallets/flask",
        "https://github.com/pallets/flask.git",
        "https://github.com/pallets/flask.git/",
        "https://github.com/pallets/flask/",
        "https://github.com/pallets/flask/tree/main",
        "https://github.com/pallets/flask/blob/main/README.md?plain=1#L3",
        "https://github.com/pallets/flask/issues/1",
        "https://github.com/pallets/flask?tab=readme-ov-file",
        "https://github.com/pallets/flask#readme",
        "https://github.com/pallets/flask/?tab=readme-ov-file#install?",
        "https://www.github.com/pallets/flask",
        "https://GitHub.COM/pallets/flask",
        "HTTPS://github.com/pallets/flask",
        "https://joe:secret@github.com/pallets/flask.git",
        "https://github.com:443/pallets/flask",
        "http://github.com/pallets/flask",
        "github.com/pallets/flask",
        "www.github.com/pallets/flask",
        "git://github.com/pallets/flask.git",
        "git+https://github.com/pallets/flask.git",
        "git+ssh://git@github.com/pallets/flask.git",
        "ssh://git@github.com/pallets/flask.git",
        "ssh://git@ssh.github.com:443/pallets/flask.git",
        "git@github.com:pallets/flask.git",
        "git@github.com:pallets/flask",
        " git@github.com:/pallets/flask.git ",
    ],
)
def test_a_pasted_repository_is_understood(text: str) -> None:
    assert parse_repository(text) == "pallets/flask"


@pytest.mark.parametrize(
    "name",
    [
        "a/b",
        "A/B",
        "0/0",
        "o" * 39 + "/" + "n" * 100,
        "a-b-c/d",
        "octo_corp/d",
        "pallets/.github",
        "pallets/_",
        "pallets/-",
        "pallets/...",
        "pallets/a..b",
        "pallets/flask.github",
        "github.com/pallets/github.com",
    ],
)
def test_a_name_may_be_all_that_github_allows(name: str) -> None:
    assert parse_repository(name) == name.removeprefix("github.com/")


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "/",
        "flask",
        "/flask",
        "pallets/",
        "pallets//flask",
        "pallets/flask/tree",
        "pallets/flask/",
        "pallets flask",
        "pallets/fl ask",
        "pallets/flask\nx",
        "pallets/flask\n/x",
        "pallets\n/flask",
        "pallets/flask\0",
        "pallets/flask?tab=readme",
        "pallets/flask#readme",
        "pallets/fl%61sk",
        "pallets\\flask",
        "pallets/fläsk",
        "раllets/flask",
        "pallets/flask\u200b",
        "pallets／flask",
        "１/２",
        "pallets/.",
        "pallets/..",
        "../flask",
        "./flask",
        "pallets/..git",
        "pallets/.git",
        "-a/b",
        "a-/b",
        "a--b/c",
        "a.b/c",
        "o" * 40 + "/n",
        "o/" + "n" * 101,
        "https://github.com",
        "https://github.com/",
        "https://github.com/pallets",
        "https://github.com/pallets/",
        "https://github.com/../pallets/flask",
        "https://github.com/pallets/../flask",
        "https://github.com/pallets/fl ask",
        "https://github.com/" + "o" * 40 + "/n",
        "https://evil.com/github.com/a/b",
        "https://evil.com/?github.com/a/b",
        "https://evil.com#github.com/a/b",
        "https://github.com.evil.com/a/b",
        "https://github.com@evil.com/a/b",
        "https://evilgithub.com/a/b",
        "https://github-com/a/b",
        "https://gist.github.com/a/b",
        "https://api.github.com/repos/a/b",
        "https://github.company.com/a/b",
        "https://gitlab.com/a/b",
        "https://gıthub.com/a/b",
        "git@gitlab.com:a/b.git",
        "ftp://github.com/a/b",
        "file:///github.com/a/b",
        "javascript:github.com/a/b",
        "https:github.com/a/b",
        "//github.com/a/b",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="Must be owner/name or the URL of a GitHub repository"):
        parse_repository(text)


def test_a_long_text_is_refused_fast() -> None:
    started = datetime.now(timezone.utc)
    for text in ("a" * 100_000, "a-" * 50_000, "https://" + "@" * 100_000, "git@" * 25_000):
        with pytest.raises(ValueError, match="Must be owner/name"):
            parse_repository(text)
    assert datetime.now(timezone.utc) - started < timedelta(seconds=1)


@pytest.fixture
def session(github: GitHub) -> Iterator[CachedSession]:
    """A session whose answers are not checked before a test reads them."""
    settings = Settings(github_api_base=github.url, github_cache="memory")
    with open_session(settings, check=lambda response: None) as session:
        yield session


@pytest.mark.parametrize(
    ("member", "value", "field", "read"),
    [
        ("id", 2**63 - 1, "id", 2**63 - 1),
        ("stargazers_count", 0, "stars", 0),
        ("stargazers_count", 2**63 - 1, "stars", 2**63 - 1),
        ("description", None, "description", None),
        ("description", "", "description", ""),
        ("description", "Ünïcode 🐍\n", "description", "Ünïcode 🐍\n"),
        ("language", None, "language", None),
        ("archived", True, "archived", True),
        ("pushed_at", None, "pushed_at", None),
        (
            "pushed_at",
            "2025-01-02T03:04:05+02:00",
            "pushed_at",
            datetime(2025, 1, 2, 1, 4, 5, tzinfo=timezone.utc),
        ),
        ("html_url", "http://ghe:8080/a/b", "url", "http://ghe:8080/a/b"),
        ("topics", "unknown to us", "stars", 70000),
    ],
)
def test_an_answer_that_github_documents_is_read(
    github: GitHub, session: CachedSession, member: str, value: Any, field: str, read: Any
) -> None:
    github.fault = Fault(changes={member: value})
    repository = read_answer(session.get(f"{github.url}/repos/pallets/flask", timeout=2))
    assert getattr(repository, field) == read


@pytest.mark.parametrize(
    ("member", "value"),
    [
        ("id", 0),
        ("id", 2**63),
        ("id", "1"),
        ("id", 1.5),
        ("full_name", None),
        ("full_name", "flask"),
        ("full_name", "pallets/flask\n"),
        ("full_name", "pallets/.."),
        ("full_name", "o/" + "n" * 101),
        ("html_url", None),
        ("html_url", "javascript:alert(1)"),
        ("html_url", "/pallets/flask"),
        ("description", 1),
        ("description", "a\0b"),
        ("description", "a\udfffb"),
        ("language", "a\0b"),
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
def test_an_answer_that_can_not_be_githubs_is_unusable(
    github: GitHub, session: CachedSession, member: str, value: Any
) -> None:
    github.fault = Fault(changes={member: value})
    response = session.get(f"{github.url}/repos/pallets/flask", timeout=2)
    with pytest.raises(UnusableAnswer, match="unusable fields"):
        read_answer(response)


@pytest.mark.parametrize(
    "member",
    [
        "id",
        "full_name",
        "html_url",
        "description",
        "stargazers_count",
        "language",
        "archived",
        "pushed_at",
    ],
)
def test_an_answer_without_a_member_is_unusable(
    github: GitHub, session: CachedSession, member: str
) -> None:
    github.fault = Fault(missing=member)
    response = session.get(f"{github.url}/repos/pallets/flask", timeout=2)
    with pytest.raises(UnusableAnswer, match="unusable fields"):
        read_answer(response)


@pytest.mark.parametrize("body", [b"", b"null", b'"text"', b"\xff\xfe", b"1" * 10_000, b"{" * 9])
def test_an_answer_that_is_no_json_object_is_unusable(
    github: GitHub, session: CachedSession, body: bytes
) -> None:
    github.fault = Fault(body=body)
    response = session.get(f"{github.url}/repos/pallets/flask", timeout=2)
    with pytest.raises(UnusableAnswer):
        read_answer(response)
