"""The client of GitHub: what it asks, what it answers, and what it does while GitHub fails."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from pathlib import Path
from threading import Timer

import pytest
from requests_cache import CachedSession

from tracker.config import Settings
from tracker.demo.github import FAULTS, NEVER, Fault, GitHub
from tracker.errors import (
    GitHubError,
    GitHubFailed,
    GitHubRateLimited,
    GitHubTimeout,
    RepositoryUnavailable,
    TokenRejected,
)
from tracker.github.client import LIMIT_MAX, STALE_MAX, GitHubClient
from tracker.github.repository import Repository, read_answer
from tracker.github.session import RECEIVED_AT, open_session

FLASK = "pallets/flask"
EXPECTED: dict[str, type[GitHubError]] = {
    "400": GitHubFailed,
    "401": TokenRejected,
    "403": RepositoryUnavailable,
    "404": RepositoryUnavailable,
    "410": RepositoryUnavailable,
    "451": RepositoryUnavailable,
    "500": GitHubFailed,
    "502": GitHubFailed,
    "503": GitHubFailed,
    "503-retry-after": GitHubFailed,
    "403-limit": GitHubRateLimited,
    "429-limit": GitHubRateLimited,
    "403-secondary": GitHubRateLimited,
    "403-retry-after": GitHubRateLimited,
    "429-retry-after": GitHubRateLimited,
    "429": GitHubRateLimited,
    "silent": GitHubTimeout,
    "drip": GitHubTimeout,
    "cut": GitHubFailed,
    "closed": GitHubFailed,
    "not-json": GitHubFailed,
    "html": GitHubFailed,
    "array": GitHubFailed,
    "deep": GitHubFailed,
    "no-stars": GitHubFailed,
    "no-description": GitHubFailed,
    "null-id": GitHubFailed,
    "text-stars": GitHubFailed,
    "huge-stars": GitHubFailed,
    "number-archived": GitHubFailed,
    "list-language": GitHubFailed,
    "bad-date": GitHubFailed,
    "bad-name": GitHubFailed,
    "script-url": GitHubFailed,
    "nul": GitHubFailed,
    "surrogate": GitHubFailed,
    "huge": GitHubFailed,
    "gzip-bomb": GitHubFailed,
    "bad-gzip": GitHubFailed,
    "redirect-itself": GitHubFailed,
    "redirect-nowhere": GitHubFailed,
    "redirect-elsewhere": GitHubFailed,
    "redirect-file": GitHubFailed,
    "redirect-broken": GitHubFailed,
    "204": GitHubFailed,
    "418": GitHubFailed,
}
NEVER_HIDDEN = {"401", "403", "404", "410", "451"}
SLOW = {"silent", "drip"}


@pytest.fixture
def settings(github: GitHub) -> Settings:
    """Settings for this test's GitHub, with an empty cache and no database."""
    return Settings(github_api_base=github.url, github_cache="memory", github_timeout=5.0)


@pytest.fixture
def session(settings: Settings) -> Iterator[CachedSession]:
    """The session that `client` asks with."""
    with open_session(settings, check=read_answer) as session:
        yield session


@pytest.fixture
def client(settings: Settings, session: CachedSession) -> GitHubClient:
    """A client with an empty cache in memory."""
    return client_with(settings, session)


def client_with(settings: Settings, session: CachedSession | None = None) -> GitHubClient:
    if session is None:
        return GitHubClient.from_settings(settings)
    return GitHubClient(
        lambda: session,
        base_url=settings.github_api_base,
        timeout=settings.github_timeout,
        waiting=48,
    )


def age(session: CachedSession, since: timedelta) -> datetime:
    """Let all cached answers be expired, and confirmed by GitHub so long ago."""
    then = datetime.now(timezone.utc) - since
    for key, response in list(session.cache.responses.items()):
        response.expires = datetime.now(timezone.utc)
        response.headers[RECEIVED_AT] = then.isoformat()
        session.cache.responses[key] = response
    return then


def test_the_metadata_are_githubs(github: GitHub, client: GitHubClient) -> None:
    before = datetime.now(timezone.utc)
    repository = client.repository(FLASK)
    assert before <= repository.fetched_at <= datetime.now(timezone.utc)
    assert repository == Repository(
        id=596892,
        name="pallets/flask",
        url="https://github.com/pallets/flask",
        description="The Python micro framework for building web applications.",
        stars=70000,
        language="Python",
        archived=False,
        pushed_at=datetime(2025, 9, 14, 17, 8, 5, tzinfo=timezone.utc),
        fetched_at=repository.fetched_at,
    )


def test_what_github_has_none_of_is_none(github: GitHub, client: GitHubClient) -> None:
    github.fault = Fault(changes={"description": None, "language": None, "pushed_at": None})
    repository = client.repository(FLASK)
    assert (repository.description, repository.language, repository.pushed_at) == (None,) * 3


def test_the_name_is_spelled_as_github_does(client: GitHubClient) -> None:
    assert client.repository("PALLETS/flask").name == "pallets/flask"


@pytest.mark.parametrize("token", [None, "s3cret"])
@pytest.mark.parametrize(
    ("first", "again"),
    [
        ("pallets/flask", "pallets/flask"),
        ("pallets/flask", "PALLETS/Flask"),
        ("mitsuhiko/flask", "Mitsuhiko/Flask"),
    ],
)
@pytest.mark.parametrize("cache", ["memory", "file"])
def test_a_fresh_cached_answer_costs_no_call(
    github: GitHub,
    settings: Settings,
    tmp_path: Path,
    token: str | None,
    first: str,
    again: str,
    cache: str,
) -> None:
    place = "memory" if cache == "memory" else str(tmp_path / "cache.sqlite")
    client = client_with(replace(settings, github_token=token, github_cache=place))
    repository = client.repository(first)
    calls = len(github.calls)
    assert client.repository(again) == repository
    assert len(github.calls) == calls


def test_a_cookie_does_not_spoil_the_cache(github: GitHub, client: GitHubClient) -> None:
    github.fault = Fault(headers={"Set-Cookie": "a=b; Path=/", "Vary": "Accept, Cookie"})
    client.repository(FLASK)
    client.repository(FLASK)
    assert len(github.calls) == 1


def test_an_answer_expires_after_the_ttl_and_is_revalidated(
    github: GitHub, settings: Settings
) -> None:
    client = client_with(replace(settings, github_cache_ttl=1))
    first = client.repository(FLASK)
    time.sleep(1.1)
    second = client.repository(FLASK)
    assert [call.status for call in github.calls] == [200, 304]
    assert "If-None-Match" in github.calls[1].headers
    assert second.fetched_at > first.fetched_at
    assert replace(second, fetched_at=first.fetched_at) == first


@pytest.mark.parametrize("cache", ["memory", "file"])
def test_a_revalidated_answer_is_fresh_again(
    github: GitHub, settings: Settings, tmp_path: Path, cache: str
) -> None:
    place = "memory" if cache == "memory" else str(tmp_path / "cache.sqlite")
    settings = replace(settings, github_cache=place)
    with open_session(settings, check=read_answer) as session:
        client = client_with(settings, session)
        client.repository(FLASK)
        age(session, timedelta(days=30))
        confirmed = client.repository(FLASK)
        assert datetime.now(timezone.utc) - confirmed.fetched_at < timedelta(seconds=5)
        assert client.repository(FLASK) == confirmed
    assert [call.status for call in github.calls] == [200, 304]


def test_an_expired_answer_that_changed_is_replaced(
    github: GitHub, client: GitHubClient, session: CachedSession
) -> None:
    client.repository(FLASK)
    age(session, timedelta(hours=1))
    github.repositories[FLASK] |= {"stars": 70001, "archived": True}
    repository = client.repository(FLASK)
    assert (repository.stars, repository.archived) == (70001, True)
    assert client.repository(FLASK) == repository
    assert len(github.calls) == 2


def test_an_expired_rename_is_asked_for_again(
    github: GitHub, client: GitHubClient, session: CachedSession
) -> None:
    client.repository("mitsuhiko/flask")
    age(session, timedelta(hours=1))
    client.repository("mitsuhiko/flask")
    assert [call.status for call in github.calls] == [301, 200, 301, 304]


def test_each_fault_has_an_expectation() -> None:
    assert FAULTS.keys() == EXPECTED.keys()
    assert EXPECTED.keys() >= NEVER_HIDDEN | SLOW


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_becomes_its_error(settings: Settings, name: str) -> None:
    settings = replace(settings, github_timeout=0.4 if name in SLOW else 5.0)
    client = client_with(settings)
    started = time.monotonic()
    with pytest.raises(EXPECTED[name]) as caught:
        client.repository(f"faults/{name}")
    assert caught.type is EXPECTED[name]
    assert (caught.value.retry_after is not None) == (caught.type is GitHubRateLimited)
    assert time.monotonic() - started < settings.github_timeout + 0.3


@pytest.mark.parametrize("name", sorted(FAULTS.keys() - NEVER_HIDDEN))
def test_an_expired_copy_serves_while_github_fails(
    github: GitHub, settings: Settings, name: str
) -> None:
    settings = replace(settings, github_timeout=0.4 if name in SLOW else 5.0)
    with open_session(settings, check=read_answer) as session:
        client = client_with(settings, session)
        copy = client.repository(FLASK)
        then = age(session, STALE_MAX - timedelta(minutes=1))
        github.fault = FAULTS[name]
        assert client.repository(FLASK) == replace(copy, fetched_at=then)


@pytest.mark.parametrize("name", ["500", "closed", "html", "429", "redirect-elsewhere"])
def test_a_copy_older_than_seven_days_does_not_serve(
    github: GitHub, client: GitHubClient, session: CachedSession, name: str
) -> None:
    client.repository(FLASK)
    age(session, STALE_MAX + timedelta(minutes=1))
    github.fault = FAULTS[name]
    with pytest.raises(EXPECTED[name]):
        client.repository(FLASK)


@pytest.mark.parametrize("name", sorted(NEVER_HIDDEN))
def test_a_refusal_is_not_hidden_behind_a_copy(
    github: GitHub, client: GitHubClient, session: CachedSession, name: str
) -> None:
    client.repository(FLASK)
    age(session, timedelta(hours=1))
    github.fault = FAULTS[name]
    with pytest.raises(EXPECTED[name]):
        client.repository(FLASK)


@pytest.mark.parametrize("name", sorted(NEVER_HIDDEN - {"401"}))
def test_the_copy_of_a_repository_that_is_gone_does_not_come_back(
    github: GitHub, client: GitHubClient, session: CachedSession, name: str
) -> None:
    client.repository(FLASK)
    age(session, timedelta(hours=1))
    github.fault = FAULTS[name]
    with pytest.raises(RepositoryUnavailable):
        client.repository(FLASK)
    github.fault = FAULTS["500"]
    with pytest.raises(GitHubFailed):
        client.repository(FLASK)


def test_an_expired_copy_serves_through_a_rename(
    github: GitHub, client: GitHubClient, session: CachedSession
) -> None:
    copy = client.repository("mitsuhiko/flask")
    then = age(session, timedelta(days=1))
    github.fault = FAULTS["503"]
    assert client.repository("mitsuhiko/flask") == replace(copy, fetched_at=then)


def test_nothing_that_failed_is_cached(github: GitHub, session: CachedSession) -> None:
    settings = Settings(github_api_base=github.url, github_timeout=0.3)
    client = client_with(settings, session)
    limits = {name for name, error in EXPECTED.items() if error is GitHubRateLimited}
    for name in FAULTS.keys() - limits - SLOW:
        github.fault = FAULTS[name]
        with pytest.raises(GitHubError):
            client.repository(FLASK)
        assert not session.cache.responses, name
    github.fault = None
    assert client.repository(FLASK).stars == 70000


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("403", "GitHub forbids access to faults/403."),
        ("404", "faults/404 is not on GitHub, or is private and not visible to our token."),
        ("410", "faults/410 is not on GitHub, or is private and not visible to our token."),
        ("451", "faults/451 is blocked on GitHub for legal reasons."),
        ("500", "GitHub is failing: it answered 500."),
        ("418", "GitHub gave an unusable answer: status 418."),
        ("closed", "GitHub can't be reached."),
        ("html", "GitHub gave an unusable answer."),
        ("redirect-elsewhere", "GitHub redirects to another host, which is not followed."),
        ("redirect-itself", "GitHub redirects in circles."),
        ("redirect-nowhere", "GitHub redirects in circles."),
        ("redirect-broken", "GitHub gave an unusable redirect."),
        ("429-limit", "GitHub's rate limit is used up; a GITHUB_TOKEN raises it."),
    ],
)
def test_an_error_says_what_happened(client: GitHubClient, name: str, message: str) -> None:
    with pytest.raises(GitHubError) as caught:
        client.repository(f"faults/{name}")
    assert str(caught.value) == message


def test_an_expired_copy_is_logged_with_the_reason(
    github: GitHub,
    client: GitHubClient,
    session: CachedSession,
    caplog: pytest.LogCaptureFixture,
) -> None:
    client.repository(FLASK)
    age(session, timedelta(hours=1))
    github.fault = FAULTS["503"]
    client.repository(FLASK)
    [record] = caplog.records
    assert "an expired copy serves" in record.getMessage()
    assert "it answered 503" in record.getMessage()


def test_a_rejected_token_is_named(github: GitHub, settings: Settings) -> None:
    github.token = "right"
    client = client_with(replace(settings, github_token="wrong"))
    with pytest.raises(GitHubFailed, match="GITHUB_TOKEN") as caught:
        client.repository(FLASK)
    assert "wrong" not in str(caught.value)


def test_a_github_that_is_down_is_a_failure(settings: Settings) -> None:
    with GitHub() as gone:
        settings = replace(settings, github_api_base=gone.url)
    with pytest.raises(GitHubFailed, match="can't be reached"):
        client_with(settings).repository(FLASK)


def test_a_rate_limit_stops_all_calls_until_it_ends(
    github: GitHub, client: GitHubClient, caplog: pytest.LogCaptureFixture
) -> None:
    fresh = client.repository("django/django")
    github.fault = Fault(429, body=b"{}", headers={"Retry-After": "1"})
    with pytest.raises(GitHubRateLimited) as caught:
        client.repository(FLASK)
    ends = time.monotonic() + 1
    assert caught.value.retry_after == 1
    calls = len(github.calls)
    for name in (FLASK, "psf/requests"):
        with pytest.raises(GitHubRateLimited) as caught:
            client.repository(name)
        assert caught.value.retry_after == 1
    assert client.repository("DJANGO/django") == fresh
    assert "expired copy" not in caplog.text
    assert len(github.calls) == calls
    github.fault = None
    time.sleep(max(ends - time.monotonic(), 0))
    assert client.repository(FLASK).name == FLASK
    assert len(github.calls) == calls + 1


def test_githubs_hourly_limit_is_heeded(github: GitHub, client: GitHubClient) -> None:
    github.limit(50)
    for name in (FLASK, "django/django"):
        with pytest.raises(GitHubRateLimited) as caught:
            client.repository(name)
        assert caught.value.retry_after in (48, 49, 50)
    assert len(github.calls) == 1


def test_an_expired_copy_serves_during_a_limit_without_a_call(
    github: GitHub, client: GitHubClient, session: CachedSession
) -> None:
    copy = client.repository(FLASK)
    then = age(session, timedelta(hours=2))
    github.limit(60)
    with pytest.raises(GitHubRateLimited):
        client.repository("django/django")
    calls = len(github.calls)
    assert client.repository(FLASK) == replace(copy, fetched_at=then)
    assert len(github.calls) == calls


def test_a_limit_is_heeded_by_all_that_share_the_cache(
    github: GitHub, settings: Settings, tmp_path: Path
) -> None:
    settings = replace(settings, github_cache=str(tmp_path / "cache.sqlite"))
    github.limit(60)
    for name in (FLASK, "django/django"):
        with pytest.raises(GitHubRateLimited):
            client_with(settings).repository(name)
    assert len(github.calls) == 1


def in_seconds(seconds: int) -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (dict, 60),
        (lambda: {"Retry-After": "30"}, 30),
        (lambda: {"Retry-After": in_seconds(30)}, 30),
        (lambda: {"Retry-After": "30", "X-RateLimit-Remaining": "0"}, 30),
        (lambda: {"Retry-After": "0"}, 1),
        (lambda: {"Retry-After": in_seconds(-30)}, 1),
        (lambda: {"Retry-After": "soon"}, 60),
        (lambda: {"Retry-After": "-5"}, 60),
        (lambda: {"Retry-After": "9" * 15}, LIMIT_MAX),
        (lambda: {"Retry-After": "9" * 5000}, 60),
        (lambda: {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "+40"}, 40),
        (lambda: {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "-40"}, 1),
        (lambda: {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "999999999"}, LIMIT_MAX),
        (lambda: {"X-RateLimit-Remaining": "0"}, 60),
        (lambda: {"X-RateLimit-Remaining": "17", "X-RateLimit-Reset": "+40"}, 60),
    ],
)
def test_the_wait_is_what_github_says(
    github: GitHub, client: GitHubClient, headers: Callable[[], dict[str, str]], seconds: int
) -> None:
    github.fault = Fault(429, body=b"{}", headers=headers())
    with pytest.raises(GitHubRateLimited) as caught:
        client.repository(FLASK)
    assert caught.value.retry_after in (seconds, max(seconds - 1, 1))


def all_at_once(client: GitHubClient, count: int) -> list[Future[Repository]]:
    with ThreadPoolExecutor(count) as threads:
        return [threads.submit(client.repository, FLASK) for _ in range(count)]


def test_concurrent_requests_for_one_repository_make_one_call(
    github: GitHub, client: GitHubClient
) -> None:
    github.fault = Fault(delay=0.3)
    results = {future.result() for future in all_at_once(client, 20)}
    assert len(results) == 1
    assert len(github.calls) == 1


def test_a_failure_reaches_all_who_wait_and_no_one_later(
    github: GitHub, client: GitHubClient
) -> None:
    github.fault = replace(FAULTS["404"], delay=0.3)
    errors = [future.exception() for future in all_at_once(client, 20)]
    assert {type(error) for error in errors} == {RepositoryUnavailable}
    assert len(github.calls) == 1
    github.fault = None
    assert client.repository(FLASK).name == FLASK


def test_different_repositories_are_asked_for_side_by_side(
    github: GitHub, client: GitHubClient
) -> None:
    names = list(github.repositories)[:8]
    github.fault = Fault(delay=0.3)
    started = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        assert [repository.name for repository in threads.map(client.repository, names)] == names
    assert time.monotonic() - started < 1.2


def test_a_session_that_can_not_be_opened_blocks_no_later_request(
    settings: Settings, session: CachedSession
) -> None:
    failures = [OSError("no more files")]

    def open_at_last() -> CachedSession:
        if failures:
            raise failures.pop()
        return session

    client = GitHubClient(open_at_last, base_url=settings.github_api_base, timeout=0.5, waiting=48)
    with pytest.raises(OSError, match="no more files"):
        client.repository(FLASK)
    assert client.repository(FLASK).name == FLASK


@pytest.mark.parametrize("name", ["500", "502", "503", "closed"])
def test_a_failure_that_may_pass_is_tried_once_more(
    github: GitHub, client: GitHubClient, name: str
) -> None:
    github.fault = FAULTS[name]
    with pytest.raises(GitHubFailed):
        client.repository(FLASK)
    assert len(github.calls) == 2


@pytest.mark.parametrize("name", ["500", "closed"])
def test_the_second_try_counts(github: GitHub, client: GitHubClient, name: str) -> None:
    github.fault = FAULTS[name]
    Timer(0.1, setattr, (github, "fault", None)).start()
    assert client.repository(FLASK).name == FLASK
    assert len(github.calls) == 2


@pytest.mark.parametrize("name", ["503-retry-after", "400", "404", "429", "html", "cut", "huge"])
def test_a_failure_that_will_not_pass_is_not_tried_again(
    github: GitHub, client: GitHubClient, name: str
) -> None:
    github.fault = FAULTS[name]
    with pytest.raises(GitHubError):
        client.repository(FLASK)
    assert len(github.calls) == 1


@pytest.mark.parametrize("fault", [Fault(500, delay=0.5), Fault(closed=True, delay=0.5)])
def test_a_failure_near_the_deadline_is_not_tried_again(
    github: GitHub, settings: Settings, fault: Fault
) -> None:
    github.fault = fault
    started = time.monotonic()
    with pytest.raises(GitHubFailed):
        client_with(replace(settings, github_timeout=0.65)).repository(FLASK)
    assert time.monotonic() - started < 0.65
    assert len(github.calls) == 1


def test_all_attempts_together_keep_the_deadline(github: GitHub, settings: Settings) -> None:
    github.fault = FAULTS["500"]
    Timer(0.1, setattr, (github, "fault", Fault(delay=NEVER))).start()
    started = time.monotonic()
    with pytest.raises(GitHubTimeout, match="within 0.7 seconds"):
        client_with(replace(settings, github_timeout=0.7)).repository(FLASK)
    assert 0.6 < time.monotonic() - started < 0.9


def test_a_rename_is_followed(github: GitHub, client: GitHubClient) -> None:
    github.rename(FLASK, "pallets/bottle")
    assert client.repository(FLASK).name == "pallets/bottle"
    assert [call.path for call in github.calls] == [f"/repos/{FLASK}", "/repositories/596892"]


def test_a_renamed_repository_that_is_gone_is_unavailable(
    github: GitHub, client: GitHubClient, session: CachedSession
) -> None:
    client.repository("mitsuhiko/flask")
    age(session, timedelta(hours=1))
    del github.repositories[FLASK]
    with pytest.raises(RepositoryUnavailable, match="mitsuhiko/flask"):
        client.repository("mitsuhiko/flask")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("scheme", ["http:", "https:", ""])
def test_no_other_host_is_asked(
    github: GitHub, settings: Settings, status: int, scheme: str
) -> None:
    with GitHub() as other:
        address = other.url.removeprefix("http:")
        github.fault = Fault(status, headers={"Location": f"{scheme}{address}/repos/{FLASK}"})
        with pytest.raises(GitHubFailed):
            client_with(replace(settings, github_token="s3cret")).repository(FLASK)
        assert other.calls == []
    assert len(github.calls) == 1


def test_redirects_without_end_are_given_up(github: GitHub, client: GitHubClient) -> None:
    github.fault = Fault(302, headers={"Location": "deeper/still"})
    with pytest.raises(GitHubFailed, match="circles"):
        client.repository(FLASK)
    assert len(github.calls) == 4


def test_a_redirect_can_not_reach_into_the_cache(
    github: GitHub, settings: Settings, tmp_path: Path
) -> None:
    settings = replace(settings, github_cache=str(tmp_path / "cache.sqlite"))
    client = client_with(settings)
    client.repository("django/django")
    github.fault = Fault(
        302, headers={"Location": "/'UNION/**/SELECT/**/value/**/FROM/**/responses--"}
    )
    with pytest.raises(GitHubFailed):
        client.repository(FLASK)
