"""The client of GitHub: metadata, cached responses and renames."""

import time
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from tracker.config import Settings
from tracker.demo.github import FAULTS, Fault, GitHub
from tracker.errors import GitHubFailed, RepositoryUnavailable
from tracker.github.client import GitHubClient
from tracker.github.repository import Repository

FLASK = "pallets/flask"
Age = Callable[[timedelta], datetime]


def test_the_metadata_are_githubs(client: GitHubClient) -> None:
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
        topics=("flask", "jinja", "pallets", "python", "web-framework", "werkzeug", "wsgi"),
        license="BSD-3-Clause",
        homepage="https://flask.palletsprojects.com",
        fork=False,
        visibility="public",
        fetched_at=repository.fetched_at,
    )


def test_the_name_is_spelled_as_github_spells_it(client: GitHubClient) -> None:
    assert client.repository("PALLETS/flask").name == "pallets/flask"


@pytest.mark.parametrize("token", [None, "s3cret"])
@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("pallets/flask", "pallets/flask"),
        ("pallets/flask", "PALLETS/Flask"),
        ("mitsuhiko/flask", "Mitsuhiko/Flask"),
    ],
)
@pytest.mark.parametrize("cache", ["memory", "file"])
def test_a_fresh_cached_response_costs_no_call(
    github: GitHub, settings: Settings, token: str | None, first: str, second: str, cache: str
) -> None:
    location = "memory" if cache == "memory" else settings.github_cache
    client = GitHubClient(replace(settings, github_token=token, github_cache=location))
    repository = client.repository(first)
    calls = len(github.calls)
    assert client.repository(second) == repository
    assert len(github.calls) == calls


def test_no_cookie_is_sent_back(github: GitHub, client: GitHubClient) -> None:
    github.fault = Fault(headers={"Set-Cookie": "a=b; Path=/", "Vary": "Accept, Cookie"})
    for name in (FLASK, FLASK, "django/django"):
        client.repository(name)
    assert len(github.calls) == 2
    assert "Cookie" not in github.calls[1].headers


def test_a_response_is_revalidated_after_the_ttl(github: GitHub, settings: Settings) -> None:
    client = GitHubClient(replace(settings, github_cache_ttl=1))
    first = client.repository(FLASK)
    time.sleep(1.1)
    second = client.repository(FLASK)
    assert [call.status for call in github.calls] == [200, 304]
    assert "If-None-Match" in github.calls[1].headers
    assert second.fetched_at > first.fetched_at
    assert replace(second, fetched_at=first.fetched_at) == first


def test_a_revalidated_response_is_fresh_again(
    github: GitHub, client: GitHubClient, age: Age
) -> None:
    client.repository(FLASK)
    age(timedelta(days=30))
    confirmed = client.repository(FLASK)
    assert datetime.now(timezone.utc) - confirmed.fetched_at < timedelta(seconds=5)
    assert client.repository(FLASK) == confirmed
    assert [call.status for call in github.calls] == [200, 304]


def test_a_changed_response_replaces_a_stale_one(
    github: GitHub, client: GitHubClient, age: Age
) -> None:
    client.repository(FLASK)
    age(timedelta(hours=1))
    github.repositories[FLASK] |= {"stars": 70001, "archived": True}
    repository = client.repository(FLASK)
    assert (repository.stars, repository.archived) == (70001, True)
    assert client.repository(FLASK) == repository
    assert len(github.calls) == 2


def test_a_refresh_asks_github_unconditionally(github: GitHub, client: GitHubClient) -> None:
    client.repository(FLASK)
    client.refresh(FLASK, None)
    assert [call.status for call in github.calls] == [200, 200]
    assert "If-None-Match" not in github.calls[1].headers


def test_no_cached_response_of_another_token_is_used(github: GitHub, settings: Settings) -> None:
    private = {"description": "Plans for the takeover"}
    github.fault = Fault(changes=private)
    insider = GitHubClient(replace(settings, github_token="insider"))
    assert insider.repository(FLASK).description == private["description"]
    for fault, error in (("404", RepositoryUnavailable), ("500", GitHubFailed)):
        github.fault = FAULTS[fault]
        for token in (None, "outsider"):
            with pytest.raises(error):
                GitHubClient(replace(settings, github_token=token)).repository(FLASK)
    assert insider.repository(FLASK).description == private["description"]


def test_a_rejected_token_is_named(github: GitHub, settings: Settings) -> None:
    github.token = "right"
    client = GitHubClient(replace(settings, github_token="wrong"))
    with pytest.raises(GitHubFailed, match="GITHUB_TOKEN") as caught:
        client.repository(FLASK)
    assert "wrong" not in str(caught.value)


def test_a_github_that_is_down_is_a_failure(settings: Settings) -> None:
    with GitHub() as gone:
        client = GitHubClient(replace(settings, github_api_base=gone.url))
    with pytest.raises(GitHubFailed, match="can't be reached"):
        client.repository(FLASK)


def test_a_rename_is_followed(github: GitHub, client: GitHubClient) -> None:
    github.rename(FLASK, "pallets/bottle")
    assert client.repository(FLASK).name == "pallets/bottle"
    assert [call.path for call in github.calls] == [f"/repos/{FLASK}", "/repositories/596892"]


def test_a_stale_rename_is_requested_again(github: GitHub, client: GitHubClient, age: Age) -> None:
    client.repository("mitsuhiko/flask")
    age(timedelta(hours=1))
    client.repository("mitsuhiko/flask")
    assert [call.status for call in github.calls] == [301, 200, 301, 304]


def test_a_renamed_repository_that_is_gone_is_unavailable(
    github: GitHub, client: GitHubClient, age: Age
) -> None:
    client.repository("mitsuhiko/flask")
    age(timedelta(hours=1))
    del github.repositories[FLASK]
    with pytest.raises(RepositoryUnavailable, match="mitsuhiko/flask"):
        client.repository("mitsuhiko/flask")


@pytest.mark.parametrize("status", [301, 302, 307, 308])
@pytest.mark.parametrize("scheme", ["http:", "https:", ""])
def test_a_redirect_to_another_host_is_not_followed(
    github: GitHub, settings: Settings, status: int, scheme: str
) -> None:
    with GitHub() as other:
        address = other.url.removeprefix("http:")
        github.fault = Fault(status, headers={"Location": f"{scheme}{address}/repos/{FLASK}"})
        with pytest.raises(GitHubFailed):
            GitHubClient(replace(settings, github_token="s3cret")).repository(FLASK)
        assert other.calls == []
    assert len(github.calls) == 1


def test_an_endless_chain_of_redirects_is_given_up(github: GitHub, client: GitHubClient) -> None:
    github.fault = Fault(302, headers={"Location": "deeper/still"})
    with pytest.raises(GitHubFailed, match="GitHub redirected in a loop."):
        client.repository(FLASK)
    assert len(github.calls) == 4


def test_a_redirect_is_no_sql(github: GitHub, client: GitHubClient) -> None:
    client.repository("django/django")
    location = "/repos/'UNION/**/SELECT/**/value/**/FROM/**/github--"
    github.fault = Fault(302, headers={"Location": location})
    with pytest.raises(GitHubFailed, match="GitHub redirected in a loop."):
        client.repository(FLASK)


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("REQUESTS_CA_BUNDLE", "/nowhere/ca.pem", "REQUESTS_CA_BUNDLE"),
        ("HTTPS_PROXY", "socks5://127.0.0.1:1", "HTTPS_PROXY"),
    ],
)
def test_an_unusable_way_to_github_is_told_as_what_it_is(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)
    client = GitHubClient(replace(settings, github_api_base="https://192.0.2.1"))
    with pytest.raises(GitHubFailed, match=words) as failure:
        client.repository(FLASK)
    assert "/nowhere" not in str(failure.value)
