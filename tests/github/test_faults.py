"""Each fault of GitHub becomes one error, or a cached response hides it."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from faults import ERRORS, REFUSALS, SLOW, USABLE
from scraped import samples
from tracker.config import Settings
from tracker.demo.faults import FAULTS, RATE_LIMITS, REPOSITORY_REFUSALS
from tracker.demo.github import GitHub
from tracker.errors import GitHubError, GitHubFailed, GitHubRateLimited, RepositoryUnavailable
from tracker.github.client import STALE_MAX, GitHubClient
from tracker.github.storage import SQLiteStorage
from tracker.metrics import exposition

FLASK = "pallets/flask"
LIMITED = "GitHub limits our requests; try again later."
UNUSABLE = "GitHub sent an unusable response"
PROXY = "and any proxy in between"
Age = Callable[[timedelta], datetime]


def test_every_fault_has_a_meaning() -> None:
    assert FAULTS.keys() == ERRORS.keys() | USABLE
    assert FAULTS.keys() >= REFUSALS | SLOW


@pytest.mark.parametrize("name", ERRORS)
def test_a_fault_becomes_one_error(settings: Settings, name: str) -> None:
    settings = replace(settings, github_timeout=0.4 if name in SLOW else 5.0)
    started = time.monotonic()
    with pytest.raises(ERRORS[name]) as caught:
        GitHubClient(settings).repository(f"faults/{name}")
    assert caught.type is ERRORS[name]
    assert (caught.value.retry_after is not None) == (caught.type is GitHubRateLimited)
    assert time.monotonic() - started < settings.github_timeout + 0.4


@pytest.mark.parametrize("name", sorted(USABLE))
def test_an_unusual_document_is_usable(client: GitHubClient, name: str) -> None:
    assert client.repository(f"faults/{name}").stars >= 0


@pytest.mark.parametrize("name", sorted(ERRORS.keys() - REFUSALS))
def test_a_stale_response_is_used_while_github_fails(
    github: GitHub, settings: Settings, age: Age, name: str
) -> None:
    client = GitHubClient(replace(settings, github_timeout=0.4 if name in SLOW else 5.0))
    cached = client.repository(FLASK)
    confirmed_at = age(STALE_MAX - timedelta(minutes=1))
    github.fault = FAULTS[name]
    assert client.repository(FLASK) == replace(cached, fetched_at=confirmed_at)


@pytest.mark.parametrize("name", ["500", "closed", "html", "429", "redirect-elsewhere"])
def test_a_response_of_over_seven_days_is_not_used(
    github: GitHub, client: GitHubClient, age: Age, name: str
) -> None:
    client.repository(FLASK)
    age(STALE_MAX + timedelta(minutes=1))
    github.fault = FAULTS[name]
    with pytest.raises(ERRORS[name]):
        client.repository(FLASK)


@pytest.mark.parametrize("name", sorted(REFUSALS))
def test_a_cached_response_hides_no_refusal(
    github: GitHub, client: GitHubClient, age: Age, name: str
) -> None:
    client.repository(FLASK)
    age(timedelta(hours=1))
    github.fault = FAULTS[name]
    with pytest.raises(ERRORS[name]):
        client.repository(FLASK)


@pytest.mark.parametrize("name", REPOSITORY_REFUSALS)
def test_a_refusal_deletes_the_cached_response(
    github: GitHub, client: GitHubClient, age: Age, name: str
) -> None:
    client.repository(FLASK)
    age(timedelta(hours=1))
    github.fault = FAULTS[name]
    with pytest.raises(RepositoryUnavailable):
        client.repository(FLASK)
    github.fault = FAULTS["500"]
    with pytest.raises(GitHubFailed):
        client.repository(FLASK)


def test_a_stale_response_is_used_through_a_rename(
    github: GitHub, client: GitHubClient, age: Age
) -> None:
    cached = client.repository("mitsuhiko/flask")
    confirmed_at = age(timedelta(days=1))
    github.fault = FAULTS["503"]
    assert client.repository("mitsuhiko/flask") == replace(cached, fetched_at=confirmed_at)


def test_no_failure_is_cached(github: GitHub, settings: Settings, storage: SQLiteStorage) -> None:
    client = GitHubClient(replace(settings, github_timeout=0.3))
    for name in ERRORS.keys() - RATE_LIMITS.keys() - SLOW:
        github.fault = FAULTS[name]
        with pytest.raises(GitHubError):
            client.repository(FLASK)
        assert len(storage) == 0, name
    github.fault = None
    assert client.repository(FLASK).stars == 70000


GONE = "does not exist on GitHub, or is private and needs a token; set GITHUB_TOKEN."
NO_JSON = "without GitHub's JSON; check that URL, and any proxy in between."


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("403", "GitHub forbids access to faults/403: Repository access blocked"),
        ("404", f"faults/404 {GONE}"),
        ("410", f"faults/410 {GONE}"),
        ("451", "GitHub has blocked faults/451 for legal reasons."),
        ("403-block", "GitHub has blocked faults/403-block (tos, https://github.com/tos)."),
        (
            "403-resource",
            "GitHub refused our request: Resource not accessible by personal access token",
        ),
        ("403-html", f"GITHUB_API_BASE sent status 403 {NO_JSON}"),
        ("404-not-api", f"GITHUB_API_BASE sent status 404 {NO_JSON}"),
        ("500", "GitHub failed with status 500; try again later."),
        ("418", "GitHub sent an unusable response: status 418."),
        ("closed", "GitHub can't be reached."),
        ("html", f"{UNUSABLE}: the body is no JSON object; check GITHUB_API_BASE, {PROXY}."),
        ("array", f"{UNUSABLE}: the body is no JSON object; check GITHUB_API_BASE, {PROXY}."),
        ("no-stars", f"{UNUSABLE}: unusable fields: stargazers_count."),
        ("huge", f"{UNUSABLE}: the body is larger than 1,048,576 bytes."),
        ("cut", "GitHub can't be reached."),
        ("redirect-elsewhere", "GitHub redirected to another host, which is not followed."),
        ("redirect-user", "GitHub redirected to something that is no repository."),
        ("redirect-itself", "GitHub redirected in a loop."),
        ("redirect-nowhere", "GitHub redirected in a loop."),
        ("redirect-broken", "GitHub sent a malformed redirect."),
    ],
)
def test_an_error_says_what_failed(client: GitHubClient, name: str, message: str) -> None:
    with pytest.raises(GitHubError) as caught:
        client.repository(f"faults/{name}")
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("name", "token", "message"),
    [
        ("401", None, "GitHub requires a token; set GITHUB_TOKEN."),
        ("401", "s3cret", "GitHub rejected our token; check GITHUB_TOKEN."),
        ("404", None, f"faults/404 {GONE}"),
        (
            "404",
            "s3cret",
            "faults/404 does not exist on GitHub, or is private and not visible to our token.",
        ),
        ("429-limit", None, f"{LIMITED} A GITHUB_TOKEN raises the hourly limit."),
        ("429-limit", "s3cret", LIMITED),
    ],
)
def test_an_error_recommends_a_token_only_without_one(
    settings: Settings, name: str, token: str | None, message: str
) -> None:
    client = GitHubClient(replace(settings, github_token=token))
    with pytest.raises(GitHubError) as caught:
        client.repository(f"faults/{name}")
    assert str(caught.value) == message


def test_the_use_of_a_stale_response_is_counted(
    github: GitHub, client: GitHubClient, age: Age
) -> None:
    client.repository(FLASK)
    age(timedelta(hours=1))
    github.fault = FAULTS["503"]
    key = ("tracker_github_cache_lookups_total", "stale")
    before = samples(exposition().decode()).get(key, 0)
    client.repository(FLASK)
    assert samples(exposition().decode())[key] == before + 1


def test_the_use_of_a_stale_response_is_logged(
    github: GitHub, client: GitHubClient, age: Age, caplog: pytest.LogCaptureFixture
) -> None:
    client.repository(FLASK)
    age(timedelta(hours=1))
    github.fault = FAULTS["503"]
    client.repository(FLASK)
    [record] = caplog.records
    assert record.getMessage() == (
        f"Using a stale response for {github.url}/repos/{FLASK}: "
        "GitHubFailed: GitHub failed with status 503; try again later."
    )
