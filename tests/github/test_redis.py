"""Redis as the cache of GitHub's responses, and memory while it is down."""

from dataclasses import replace

import pytest
from redis import Redis

from helpers import free_port
from redis_server import redis_running
from tracker.config import Settings
from tracker.demo.github import GitHub
from tracker.github import cache
from tracker.github.client import GitHubClient

FLASK = "pallets/flask"
FAILED = "GITHUB_CACHE failed, using memory instead: "


def client_with(settings: Settings, url: str) -> GitHubClient:
    return GitHubClient(replace(settings, github_cache=url))


def test_clients_share_a_redis(
    github: GitHub, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    port = free_port()
    with redis_running(port) as url:
        first, second = client_with(settings, url), client_with(settings, url)
        assert first.repository(FLASK) == second.repository("Pallets/Flask")
        assert len(github.calls) == 1
        with Redis(port=port) as redis:
            keys = list(redis.scan_iter())
            assert keys
            assert all(key.startswith(b"github-task-tracker") for key in keys)
            assert all(redis.ttl(key) == -1 for key in keys)
    assert caplog.messages == []


def test_memory_replaces_a_redis_until_it_works_again(
    github: GitHub,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "COOLDOWN", 0.0)
    port = free_port()
    with redis_running(port) as url:
        client = client_with(settings, url)
        client.repository(FLASK)
    for _ in range(2):
        assert client.repository(FLASK).name == FLASK
    assert len(github.calls) == 2
    [warning] = caplog.messages
    assert warning.startswith(FAILED)
    with redis_running(port) as url:
        client.repository("psf/requests")
        assert caplog.messages[1:] == ["GITHUB_CACHE works again"]
        calls = len(github.calls)
        assert client_with(settings, url).repository("psf/requests").name == "psf/requests"
        assert len(github.calls) == calls


def test_a_redis_that_is_down_fails_no_request(
    github: GitHub, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_with(settings, f"redis://user:s3cret@127.0.0.1:{free_port()}/0")
    for name in (FLASK, FLASK, "django/django"):
        assert client.repository(name).name == name
    assert len(github.calls) == 2
    [warning] = caplog.messages
    assert warning.startswith(FAILED)
    assert "s3cret" not in warning
