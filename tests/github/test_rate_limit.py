"""GitHub's rate limit: how long we wait, and who waits."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest

from tracker.config import Settings
from tracker.demo.github import Fault, GitHub
from tracker.errors import GitHubRateLimited
from tracker.github.client import GitHubClient
from tracker.github.responses import RATE_LIMIT_MAX, SECONDARY_LIMIT

FLASK = "pallets/flask"


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
    assert "stale" not in caplog.text
    assert len(github.calls) == calls
    github.fault = None
    time.sleep(max(ends - time.monotonic(), 0))
    assert client.repository(FLASK).name == FLASK
    assert len(github.calls) == calls + 1


def test_githubs_hourly_limit_is_respected(github: GitHub, client: GitHubClient) -> None:
    github.limit(50)
    for name in (FLASK, "django/django"):
        with pytest.raises(GitHubRateLimited) as caught:
            client.repository(name)
        assert caught.value.retry_after in (48, 49, 50)
    assert len(github.calls) == 1


def test_a_stale_response_is_used_without_a_call(
    github: GitHub, client: GitHubClient, age: Callable[[timedelta], datetime]
) -> None:
    cached = client.repository(FLASK)
    confirmed_at = age(timedelta(hours=2))
    github.limit(60)
    with pytest.raises(GitHubRateLimited):
        client.repository("django/django")
    calls = len(github.calls)
    assert client.repository(FLASK) == replace(cached, fetched_at=confirmed_at)
    assert len(github.calls) == calls


def test_processes_with_one_cache_share_a_rate_limit(github: GitHub, settings: Settings) -> None:
    github.limit(60)
    for name in (FLASK, "django/django"):
        with pytest.raises(GitHubRateLimited):
            GitHubClient(settings).repository(name)
    assert len(github.calls) == 1


def test_a_rate_limit_of_one_token_does_not_stop_another(
    github: GitHub, settings: Settings
) -> None:
    github.limit(60)
    for token in (None, "used-up"):
        with pytest.raises(GitHubRateLimited):
            GitHubClient(replace(settings, github_token=token)).repository(FLASK)
    assert len(github.calls) == 2
    github.remaining = None
    assert GitHubClient(replace(settings, github_token="new")).repository(FLASK).name == FLASK
    for token in (None, "used-up"):
        with pytest.raises(GitHubRateLimited):
            GitHubClient(replace(settings, github_token=token)).repository(FLASK)
    assert len(github.calls) == 3


def in_seconds(seconds: int) -> str:
    return format_datetime(datetime.now(timezone.utc) + timedelta(seconds=seconds), usegmt=True)


USED_UP = {"X-RateLimit-Remaining": "0"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (dict, SECONDARY_LIMIT),
        (lambda: {"Retry-After": "30"}, 30),
        (lambda: {"Retry-After": in_seconds(30)}, 30),
        (lambda: {"Retry-After": "30", **USED_UP}, 30),
        (lambda: {"Retry-After": "0"}, 1),
        (lambda: {"Retry-After": in_seconds(-30)}, 1),
        (lambda: {"Retry-After": "soon"}, SECONDARY_LIMIT),
        (lambda: {"Retry-After": "-5"}, SECONDARY_LIMIT),
        (lambda: {"Retry-After": "9" * 15}, RATE_LIMIT_MAX),
        (lambda: {"Retry-After": "9" * 5000}, SECONDARY_LIMIT),
        (lambda: {**USED_UP, "X-RateLimit-Reset": "+40"}, 40),
        (lambda: {**USED_UP, "X-RateLimit-Reset": "-40"}, 1),
        (lambda: {**USED_UP, "X-RateLimit-Reset": "999999999"}, RATE_LIMIT_MAX),
        (lambda: USED_UP, SECONDARY_LIMIT),
        (lambda: {"X-RateLimit-Remaining": "17", "X-RateLimit-Reset": "+40"}, SECONDARY_LIMIT),
    ],
)
def test_the_wait_is_as_long_as_github_says(
    github: GitHub, client: GitHubClient, headers: Callable[[], dict[str, str]], seconds: int
) -> None:
    github.fault = Fault(429, body=b"{}", headers=headers())
    with pytest.raises(GitHubRateLimited) as caught:
        client.repository(FLASK)
    assert caught.value.retry_after in (seconds, max(seconds - 1, 1))


@pytest.mark.parametrize(
    "body",
    [
        b'{"message": "API rate limit exceeded for 127.0.0.1."}',
        b'{"message": "You have exceeded a secondary rate limit."}',
        b'{"message": "You have triggered an abuse detection mechanism."}',
        b'{"documentation_url": "https://docs.github.com/abuse-rate-limits"}',
    ],
)
def test_a_403_that_speaks_of_a_limit_is_one(
    github: GitHub, client: GitHubClient, body: bytes
) -> None:
    github.fault = Fault(403, body=body)
    with pytest.raises(GitHubRateLimited) as caught:
        client.repository(FLASK)
    assert caught.value.retry_after in (SECONDARY_LIMIT - 1, SECONDARY_LIMIT)


def status(client: GitHubClient, *, ask: bool = False) -> tuple[int, int] | None:
    found = client.rate_limit_status(ask=ask)
    return None if found is None else (found.limit, found.remaining)


def test_every_process_knows_the_rate_limit_that_one_was_told(
    github: GitHub, settings: Settings
) -> None:
    github.remaining, github.reset = 60, time.time() + 600
    one, other = GitHubClient(settings), GitHubClient(settings)
    assert status(other) is None
    one.repository(FLASK)
    assert status(other) == (60, 59)
    told = other.rate_limit_status()
    assert told is not None
    assert told.resets_at.timestamp() == int(github.reset)
    one.repository(FLASK)  # from the cache
    assert status(other) == (60, 59)
    assert len(github.calls) == 1


def test_a_304_tells_the_rate_limit_too(
    github: GitHub, client: GitHubClient, age: Callable[[timedelta], datetime]
) -> None:
    github.remaining, github.reset = 60, time.time() + 600
    client.repository(FLASK)
    age(timedelta(hours=2))
    client.repository(FLASK)
    assert github.calls[1].status == 304
    assert status(client) == (60, 58)


def test_the_rate_limit_of_a_token_is_not_told_under_another(
    github: GitHub, settings: Settings
) -> None:
    GitHubClient(replace(settings, github_token="one")).repository(FLASK)
    assert status(GitHubClient(replace(settings, github_token="one"))) == (5000, 5000)
    for token in ("other", None):
        assert status(GitHubClient(replace(settings, github_token=token))) is None


def test_github_is_asked_for_the_rate_limit_once_a_second(
    github: GitHub, settings: Settings
) -> None:
    clients = [GitHubClient(settings) for _ in range(3)]
    for client in clients * 2:
        assert status(client, ask=True) == (60, 60)
    assert [call.path for call in github.calls] == ["/rate_limit"]
    assert status(GitHubClient(replace(settings, github_token="t")), ask=True) == (5000, 5000)


def test_a_used_up_rate_limit_is_told_without_a_call(github: GitHub, client: GitHubClient) -> None:
    github.limit(60)
    with pytest.raises(GitHubRateLimited):
        client.repository(FLASK)
    calls = len(github.calls)
    assert status(client, ask=True) == (60, 0)
    assert len(github.calls) == calls


@pytest.mark.parametrize(
    "headers",
    [
        {"X-RateLimit-Limit": "60", "X-RateLimit-Remaining": "59"},
        {**USED_UP, "X-RateLimit-Limit": "60", "X-RateLimit-Reset": "9" * 14},
        {
            "X-RateLimit-Limit": "10",
            "X-RateLimit-Remaining": "9",
            "X-RateLimit-Reset": "60",
            "X-RateLimit-Resource": "search",
        },
    ],
)
def test_other_headers_tell_no_rate_limit(
    github: GitHub, client: GitHubClient, headers: dict[str, str]
) -> None:
    github.fault = Fault(headers=headers)
    client.repository(FLASK)
    assert status(client) is None


def test_a_cache_that_fails_still_has_the_rate_limit(github: GitHub, settings: Settings) -> None:
    client = GitHubClient(replace(settings, github_cache="redis://127.0.0.1:1/0"))
    client.repository(FLASK)
    assert status(client) == (60, 60)
    for _ in range(3):
        status(client, ask=True)
    assert len(github.calls) == 2
