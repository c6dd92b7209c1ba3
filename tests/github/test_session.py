"""The session to GitHub: what it sends, and which responses it accepts and caches."""

import base64
import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

import pytest
import requests
from requests.exceptions import InvalidSchema

from tracker.config import Settings
from tracker.demo.github import FAULTS, Fault, GitHub
from tracker.github.client import GitHubClient
from tracker.github.repository import received_at
from tracker.github.session import BODY_MAX, GitHubSession, ResponseTooLarge, UnusableRedirect
from tracker.github.storage import SQLiteStorage

TOKEN = "s3cret-t0ken"


def accept(response: requests.Response) -> None:
    """Accept any response."""


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return replace(settings, github_token=TOKEN)


@pytest.fixture
def session(settings: Settings) -> Iterator[GitHubSession]:
    with GitHubSession(settings, accept) as session:
        yield session


def fetch(
    session: GitHubSession, url: str, timeout: float = 5.0, *, force_refresh: bool = False
) -> requests.Response:
    return session.fetch(url, time.monotonic() + timeout, force_refresh=force_refresh)


def test_githubs_headers_are_sent(github: GitHub, session: GitHubSession) -> None:
    fetch(session, f"{github.url}/repos/pallets/flask")
    [call] = github.calls
    assert call.headers["Accept"] == "application/vnd.github+json"
    assert call.headers["User-Agent"] == "github-task-tracker"
    assert call.headers["X-GitHub-Api-Version"] == "2022-11-28"
    assert call.headers["Authorization"] == f"Bearer {TOKEN}"


def test_without_a_token_none_is_sent(github: GitHub, settings: Settings) -> None:
    with GitHubSession(replace(settings, github_token=None), accept) as session:
        fetch(session, f"{github.url}/repos/pallets/flask")
    assert "Authorization" not in github.calls[0].headers


@pytest.mark.parametrize("name", ["pallets/flask", "mitsuhiko/flask"])
def test_the_token_is_not_in_the_cache(
    github: GitHub, session: GitHubSession, tmp_path: Path, name: str
) -> None:
    for _ in range(2):
        response = fetch(session, f"{github.url}/repos/{name}")
        assert TOKEN not in str(response.request.headers)
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
    client = GitHubClient(replace(settings, github_token=token, github_cache=str(cache)))
    assert client.repository(name).name == "pallets/flask"
    credentials = base64.b64encode(b"joe:hunter2")
    assert all(credentials not in file.read_bytes() for file in cache.parent.iterdir())
    expected = f"Bearer {token}" if token else None
    assert {call.headers.get("Authorization") for call in github.calls} == {expected}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_no_other_host_is_called(session: GitHubSession, scheme: str) -> None:
    with GitHub() as other:
        with pytest.raises(InvalidSchema):
            fetch(session, other.url.replace("http", scheme) + "/repos/pallets/flask")
        assert other.calls == []


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/", "/etc/passwd"])
def test_no_other_scheme_is_used(session: GitHubSession, url: str) -> None:
    with pytest.raises(requests.RequestException):
        fetch(session, url)


@pytest.mark.parametrize("compressed", [False, True])
def test_the_size_of_a_body_is_bounded(
    github: GitHub, session: GitHubSession, compressed: bool
) -> None:
    url = f"{github.url}/repos/pallets/flask"
    length = len(fetch(session, url).content)
    github.fault = Fault(padding=BODY_MAX - length, compressed=compressed)
    assert len(fetch(session, url, force_refresh=True).content) == BODY_MAX
    github.fault = Fault(padding=BODY_MAX - length + 1, compressed=compressed)
    with pytest.raises(ResponseTooLarge):
        fetch(session, url, force_refresh=True)


def test_the_body_that_was_read_is_the_responses_content(
    github: GitHub, session: GitHubSession
) -> None:
    response = fetch(session, f"{github.url}/repos/pallets/flask")
    assert response.content == response.content
    assert response.json()["full_name"] == "pallets/flask"


@pytest.mark.parametrize("fault", [Fault(drip=0.3), Fault(drip=0.001, padding=10_000)])
def test_the_timeout_bounds_the_whole_response(
    github: GitHub, session: GitHubSession, fault: Fault
) -> None:
    github.fault = fault
    started = time.monotonic()
    with pytest.raises(requests.Timeout):
        fetch(session, f"{github.url}/repos/pallets/flask", timeout=0.4)
    assert 0.3 < time.monotonic() - started < 0.8


def test_each_response_has_its_own_timeout(github: GitHub, session: GitHubSession) -> None:
    for name in ("pallets/flask", "django/django", "psf/requests"):
        fetch(session, f"{github.url}/repos/{name}", timeout=0.4)
        time.sleep(0.25)
    assert len(github.calls) == 3


def test_a_response_that_the_check_refuses_is_not_cached(
    github: GitHub, settings: Settings, storage: SQLiteStorage
) -> None:
    def check(response: requests.Response) -> None:
        if response.status_code == 200:
            raise requests.RequestException("refused")

    with GitHubSession(settings, check) as session:
        for _ in range(2):
            with pytest.raises(requests.RequestException, match="refused"):
                fetch(session, f"{github.url}/repos/pallets/flask")
        fetch(session, f"{github.url}/repos/mitsuhiko/flask")
    assert [call.status for call in github.calls] == [200, 200, 301]
    assert len(storage) == 1


@pytest.mark.parametrize("path", ["/repos/no/such", "/repos/faults/500", "/repos/faults/429"])
def test_a_failure_is_not_cached(github: GitHub, session: GitHubSession, path: str) -> None:
    for _ in range(2):
        assert fetch(session, f"{github.url}{path}").status_code >= 400
    assert len(github.calls) == 2


@pytest.mark.parametrize("name", [name for name in FAULTS if name.startswith("redirect-")])
def test_an_unusable_redirect_is_not_cached(
    github: GitHub, session: GitHubSession, storage: SQLiteStorage, name: str
) -> None:
    with pytest.raises(UnusableRedirect):
        fetch(session, f"{github.url}/repos/faults/{name}")
    assert len(storage) == 0


@pytest.mark.parametrize(
    "location",
    [
        "//localhost:1/repos/a/b",
        "http://127.0.0.1:1/repos/a/b",
        "http://user@{host}/repos/a/b",
        "https://{host}/repos/a/b",
        "ftp://{host}/repos/a/b",
        "{url}/repos/PALLETS/flask",
        "http://{host}.evil.com/repos/a/b",
        "/user",
        "/user/repos/a/b",
        "/repositories",
        "/repos",
        "/gists/1",
        "/",
    ],
)
def test_a_redirect_leads_to_a_repository_of_the_same_host(
    github: GitHub, session: GitHubSession, location: str
) -> None:
    host = github.url.removeprefix("http://")
    github.fault = Fault(301, headers={"Location": location.format(url=github.url, host=host)})
    with pytest.raises(UnusableRedirect):
        fetch(session, f"{github.url}/repos/pallets/flask")


@pytest.mark.parametrize("base", ["", "/api/v3"])
@pytest.mark.parametrize("target", ["/repositories/596892", "/repos/a/b", "/Repos/a/b"])
def test_a_redirect_below_the_base_is_accepted(
    github: GitHub, session: GitHubSession, base: str, target: str
) -> None:
    github.fault = Fault(301, headers={"Location": base + target})
    assert fetch(session, f"{github.url}{base}/repos/pallets/flask").status_code == 301


@pytest.mark.parametrize("target", ["/repositories/596892", "/repos/a/b", "/api/repos/a/b"])
def test_a_redirect_out_of_the_base_is_refused(
    github: GitHub, session: GitHubSession, target: str
) -> None:
    github.fault = Fault(301, headers={"Location": target})
    with pytest.raises(UnusableRedirect):
        fetch(session, f"{github.url}/api/v3/repos/pallets/flask")


def test_the_time_of_receipt_is_ours(github: GitHub, session: GitHubSession) -> None:
    github.fault = Fault(headers={"X-Received-At": "2001-01-01T00:00:00+00:00"})
    before = datetime.now(timezone.utc)
    fresh = fetch(session, f"{github.url}/repos/pallets/flask")
    cached = fetch(session, f"{github.url}/repos/pallets/flask")
    assert before <= received_at(fresh) <= datetime.now(timezone.utc)
    assert received_at(cached) == received_at(fresh)


def test_the_cache_key_ignores_letter_case(session: GitHubSession) -> None:
    key = session.cache_key("http://api/repos/pallets/flask")
    assert session.cache_key("HTTP://API/repos/PALLETS/Flask") == key


def test_the_cache_key_depends_on_the_token_and_hides_it(settings: Settings) -> None:
    keys = set()
    for token in (None, TOKEN, "another"):
        with GitHubSession(replace(settings, github_token=token), accept) as session:
            keys.add(session.cache_key("http://api/repos/pallets/flask"))
    assert len(keys) == 3
    assert not any(TOKEN in key for key in keys)
