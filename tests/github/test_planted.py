"""Entries that another program has planted in the cache: no code runs, no request fails."""

import json
import os
import pickle
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from redis import Redis

from helpers import free_port
from redis_server import redis_running
from tracker.config import Settings
from tracker.demo.github import FAULTS, GitHub
from tracker.errors import GitHubError, GitHubFailed
from tracker.github.client import GitHubClient

FLASK = "pallets/flask"


class Exploit:
    """An object whose pickle creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self._path),)


def replace_entries(settings: Settings, value: bytes | str) -> int:
    """Replace every entry of the cache file; return how many there are."""
    with closing(sqlite3.connect(settings.github_cache)) as file, file:
        return file.execute("UPDATE github SET value = ?", [value]).rowcount


def change_entries(settings: Settings, **members: Any) -> None:
    """Change or delete (None) members of every entry of the cache file."""
    change(settings, lambda entry: entry | members)


def change_header(settings: Settings, name: str, value: str | None) -> None:
    """Change or delete (None) a header of every entry of the cache file."""
    change(settings, lambda entry: entry | {"headers": present(entry["headers"] | {name: value})})


def change(settings: Settings, changed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    with closing(sqlite3.connect(settings.github_cache)) as file, file:
        for key, value in file.execute("SELECT key, value FROM github").fetchall():
            entry = json.dumps(present(changed(json.loads(value))))
            file.execute("UPDATE github SET value = ? WHERE key = ?", [entry, key])


def present(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value is not None}


def test_a_pickle_in_the_file_is_a_miss(github: GitHub, settings: Settings, tmp_path: Path) -> None:
    planted = pickle.dumps(Exploit(tmp_path / "exploited"))
    GitHubClient(settings).repository(FLASK)
    assert replace_entries(settings, planted) == 1
    for _ in range(2):
        assert GitHubClient(settings).repository(FLASK).name == FLASK
    assert not (tmp_path / "exploited").exists()
    assert len(github.calls) == 2
    pickle.loads(planted)
    assert (tmp_path / "exploited").exists()


def test_a_pickle_in_redis_is_a_miss(github: GitHub, settings: Settings, tmp_path: Path) -> None:
    planted = pickle.dumps(Exploit(tmp_path / "exploited"))
    port = free_port()
    with redis_running(port) as url, Redis(port=port) as redis:
        settings = replace(settings, github_cache=url)
        GitHubClient(settings).repository(FLASK)
        keys = list(redis.scan_iter())
        assert keys
        for key in keys:
            redis.set(key, planted)
        for _ in range(2):
            assert GitHubClient(settings).repository(FLASK).name == FLASK
    assert not (tmp_path / "exploited").exists()
    assert len(github.calls) == 2


@pytest.mark.parametrize(
    "value",
    [b"", b"\xff\xfe", "", "null", "[]", "{}", '"text"', "1", "[" * 100_000, "9" * 10_000],
    ids=lambda value: repr(value)[:10],
)
def test_an_entry_that_is_none_of_ours_is_a_miss(
    github: GitHub, settings: Settings, value: bytes | str
) -> None:
    GitHubClient(settings).repository(FLASK)
    replace_entries(settings, value)
    for _ in range(2):
        assert GitHubClient(settings).repository(FLASK).name == FLASK
    assert len(github.calls) == 2


@pytest.mark.parametrize(
    "members",
    [
        {"status": "200"},
        {"status": [200]},
        {"status": 500},
        {"status": 301},
        {"status": 301, "headers": {"Location": "http://127.0.0.1:1/"}},
        {"headers": {}},
        {"headers": []},
        {"headers": {"X-Received-At": "yesterday"}},
        {"headers": {"X-Received-At": "2026-01-01T00:00:00"}},
        {"headers": {"X-Received-At": None}},
        {"headers": {"X-Received-At": 5}},
        {"body": "{}"},
        {"body": "<html>"},
        {"body": 5},
        {"body": "\ud800"},
        {"expires": 5},
        {"expires": "2999-01-01T00:00:00"},
        {"created_at": "2026-01-01T00:00:00"},
        {"created_at": None},
        {"url": None},
        {"url": 5},
    ],
    ids=repr,
)
@pytest.mark.parametrize("fresh", [True, False])
def test_an_odd_entry_fails_no_request(
    settings: Settings, fresh: bool, members: dict[str, Any]
) -> None:
    GitHubClient(settings).repository(FLASK)
    if not fresh:
        change_entries(settings, expires="2026-01-01T00:00:00+00:00")
    change_entries(settings, **members)
    for _ in range(2):
        assert GitHubClient(settings).repository(FLASK).name == FLASK


@pytest.mark.parametrize("received_at", [None, "2026-01-01T00:00:00"])
@pytest.mark.parametrize("name", [FLASK, "mitsuhiko/flask"])
def test_a_stale_entry_of_unknown_age_is_not_used(
    github: GitHub, settings: Settings, name: str, received_at: str | None
) -> None:
    GitHubClient(settings).repository(name)
    change_entries(settings, expires="2026-01-01T00:00:00+00:00")
    github.fault = FAULTS["500"]
    assert GitHubClient(settings).repository(name).name == FLASK
    change_header(settings, "X-Received-At", received_at)
    with pytest.raises(GitHubFailed):
        GitHubClient(settings).repository(name)


def test_a_planted_refusal_is_at_most_a_failure_of_github(settings: Settings) -> None:
    GitHubClient(settings).repository(FLASK)
    for status in (403, 429):
        change_entries(settings, status=status)
        with pytest.raises(GitHubError):
            GitHubClient(settings).repository(FLASK)


def test_an_entry_that_this_version_refuses_is_fetched_again(
    github: GitHub, settings: Settings
) -> None:
    client = GitHubClient(settings)
    for fresh in (True, False):
        repository = client.repository(FLASK)
        if not fresh:
            change_entries(settings, expires="2026-01-01T00:00:00+00:00")
        change_entries(settings, body=json.dumps({"full_name": FLASK}))
        assert replace(client.repository(FLASK), fetched_at=repository.fetched_at) == repository
    assert [call.status for call in github.calls] == [200, 200, 200]
