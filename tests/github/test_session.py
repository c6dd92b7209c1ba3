"""The session to GitHub: what it sends, what it lets in, and what it keeps to itself."""

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
import requests
from requests.exceptions import InvalidSchema
from requests_cache import CachedSession

from tracker.config import Settings
from tracker.demo.github import FAULTS, Fault, GitHub
from tracker.github.client import GitHubClient
from tracker.github.repository import read_answer
from tracker.github.session import (
    BODY_MAX,
    AnswerTooLarge,
    UnusableRedirect,
    cache_key,
    open_session,
    received_at,
)

TOKEN = "s3cret-t0ken"


@pytest.fixture
def settings(github: GitHub) -> Settings:
    """Settings for this test's GitHub, with a token and an empty cache, and no database."""
    return Settings(github_api_base=github.url, github_cache="memory", github_token=TOKEN)


@pytest.fixture
def session(settings: Settings) -> Iterator[CachedSession]:
    """A session that takes any answer."""
    with open_session(settings, check=lambda response: None) as session:
        yield session


def ask(session: CachedSession, url: str, timeout: float = 5.0) -> requests.Response:
    return session.get(url, timeout=timeout, allow_redirects=False)


def test_githubs_headers_are_sent(github: GitHub, session: CachedSession) -> None:
    ask(session, f"{github.url}/repos/pallets/flask")
    [call] = github.calls
    assert call.headers["Accept"] == "application/vnd.github+json"
    assert call.headers["User-Agent"] == "github-task-tracker"
    assert call.headers["X-GitHub-Api-Version"] == "2022-11-28"
    assert call.headers["Authorization"] == f"Bearer {TOKEN}"


def test_without_a_token_none_is_sent(github: GitHub, settings: Settings) -> None:
    with open_session(replace(settings, github_token=None), check=read_answer) as session:
        ask(session, f"{github.url}/repos/pallets/flask")
    assert "Authorization" not in github.calls[0].headers


@pytest.mark.parametrize("name", ["pallets/flask", "mitsuhiko/flask"])
def test_the_token_stays_out_of_the_cache(
    github: GitHub, settings: Settings, tmp_path: Path, name: str
) -> None:
    place = tmp_path / "cache.sqlite"
    settings = replace(settings, github_cache=str(place))
    with open_session(settings, check=read_answer) as session:
        response = ask(session, f"{github.url}/repos/{name}")
        assert TOKEN not in str(response.request.headers)
        cached = ask(session, f"{github.url}/repos/{name}")
        assert TOKEN not in str(cached.request.headers)
        files = list(tmp_path.iterdir())
        assert {file.suffix for file in files} >= {".sqlite", ".sqlite-wal"}
        assert all(TOKEN.encode() not in file.read_bytes() for file in files)
    assert len(github.calls) == 1


@pytest.mark.parametrize("token", [None, TOKEN])
@pytest.mark.parametrize("name", ["pallets/flask", "mitsuhiko/flask"])
def test_a_netrc_entry_is_neither_sent_nor_cached(
    github: GitHub,
    settings: Settings,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    token: str | None,
    name: str,
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login joe password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    cache = tmp_path / "cache" / "github.sqlite"
    settings = replace(settings, github_token=token, github_cache=str(cache))
    with open_session(settings, check=read_answer) as session:
        client = GitHubClient(lambda: session, base_url=github.url, timeout=5.0, waiting=16)
        assert client.repository(name).name == "pallets/flask"
        credentials = base64.b64encode(b"joe:hunter2")
        assert all(credentials not in file.read_bytes() for file in cache.parent.iterdir())
    expected = f"Bearer {token}" if token else None
    assert {call.headers.get("Authorization") for call in github.calls} == {expected}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_other_host_can_be_asked(session: CachedSession, scheme: str) -> None:
    with GitHub() as other:
        with pytest.raises(InvalidSchema):
            ask(session, other.url.replace("http", scheme) + "/repos/pallets/flask")
        assert other.calls == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "/etc/passwd"])
def test_no_other_scheme_can_be_asked(session: CachedSession, url: str) -> None:
    with pytest.raises(requests.RequestException):
        ask(session, url)


@pytest.mark.parametrize("compressed", [False, True])
def test_a_body_is_bounded(github: GitHub, session: CachedSession, compressed: bool) -> None:
    url = f"{github.url}/repos/pallets/flask"
    length = len(ask(session, url).content)
    github.fault = Fault(padding=BODY_MAX - length, compressed=compressed)
    session.cache.delete(cache_key(url))
    response = ask(session, url)
    assert len(response.content) == BODY_MAX
    github.fault = Fault(padding=BODY_MAX - length + 1, compressed=compressed)
    session.cache.delete(cache_key(url))
    with pytest.raises(AnswerTooLarge):
        ask(session, url)


@pytest.mark.parametrize("fault", [Fault(drip=0.3), Fault(drip=0.001, padding=10_000)])
def test_the_timeout_bounds_the_whole_answer(
    github: GitHub, session: CachedSession, fault: Fault
) -> None:
    github.fault = fault
    started = time.monotonic()
    with pytest.raises((requests.Timeout, requests.ConnectionError)):
        ask(session, f"{github.url}/repos/pallets/flask", timeout=0.4)
    assert 0.3 < time.monotonic() - started < 0.55


def test_each_answer_has_a_timeout_of_its_own(github: GitHub, session: CachedSession) -> None:
    for name in ("pallets/flask", "django/django", "psf/requests"):
        ask(session, f"{github.url}/repos/{name}", timeout=0.3)
        time.sleep(0.15)
    assert len(github.calls) == 3


def test_what_the_check_refuses_is_not_cached(github: GitHub, settings: Settings) -> None:
    seen = []

    def check(response: requests.Response) -> None:
        seen.append(response.status_code)
        raise requests.RequestException("refused")

    with open_session(settings, check=check) as session:
        for _ in range(2):
            with pytest.raises(requests.RequestException, match="refused"):
                ask(session, f"{github.url}/repos/pallets/flask")
        for path in ("/repos/mitsuhiko/flask", "/repos/no/such"):
            ask(session, f"{github.url}{path}")
        assert len(session.cache.responses) == 1
    assert seen == [200, 200]


@pytest.mark.parametrize("path", ["/repos/no/such", "/repos/faults/500", "/repos/faults/429"])
def test_a_failure_is_not_cached(github: GitHub, session: CachedSession, path: str) -> None:
    for _ in range(2):
        assert ask(session, f"{github.url}{path}").status_code >= 400
    assert len(github.calls) == 2


@pytest.mark.parametrize("name", [name for name in FAULTS if name.startswith("redirect-")])
def test_an_unusable_redirect_is_not_cached(
    github: GitHub, session: CachedSession, name: str
) -> None:
    with pytest.raises(UnusableRedirect):
        ask(session, f"{github.url}/repos/faults/{name}")
    assert not session.cache.responses


@pytest.mark.parametrize(
    "location",
    [
        "//localhost:1/repos/a/b",
        "http://127.0.0.1:1/repos/a/b",
        "http://user@{host}/repos/a/b",
        "https://{host}/repos/a/b",
        "ftp://{host}/repos/a/b",
        "{url}/repos/PALLETS/flask",
        "http://{host}.evil.com/",
    ],
)
def test_a_redirect_stays_on_the_host(
    github: GitHub, session: CachedSession, location: str
) -> None:
    host = github.url.removeprefix("http://")
    github.fault = Fault(301, headers={"Location": location.format(url=github.url, host=host)})
    with pytest.raises(UnusableRedirect):
        ask(session, f"{github.url}/repos/pallets/flask")


def test_the_time_of_receipt_is_ours(github: GitHub, session: CachedSession) -> None:
    github.fault = Fault(headers={"X-Received-At": "2001-01-01T00:00:00+00:00"})
    before = datetime.now(timezone.utc)
    fresh = ask(session, f"{github.url}/repos/pallets/flask")
    cached = ask(session, f"{github.url}/repos/pallets/flask")
    assert before <= received_at(fresh) <= datetime.now(timezone.utc)
    assert received_at(cached) == received_at(fresh)


@pytest.mark.parametrize(
    "other", ["HTTP://API/repos/PALLETS/flask", "http://api/repos/pallets/Flask"]
)
def test_the_cache_does_not_mind_letter_case(other: str) -> None:
    assert cache_key(other) == cache_key("http://api/repos/pallets/flask")


def test_a_cache_key_can_not_leave_its_quotes() -> None:
    assert "'" not in cache_key("http://api/repos/a'b")
