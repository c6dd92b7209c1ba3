"""The cache of GitHub's answers: where it is kept, and that its failure never fails a request."""

import logging
import shutil
import socket
import sqlite3
import stat
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from redis import Redis, RedisError

from tracker.config import Settings
from tracker.demo.github import GitHub
from tracker.github import cache
from tracker.github.cache import open_cache
from tracker.github.client import GitHubClient

FLASK = "pallets/flask"
CLOSED_PORT = 1


@pytest.fixture
def settings(github: GitHub) -> Settings:
    """Settings for this test's GitHub, with no database."""
    return Settings(github_api_base=github.url, github_cache="memory")


def client_with(settings: Settings, place: Path | str) -> GitHubClient:
    return GitHubClient.from_settings(replace(settings, github_cache=str(place)))


@contextmanager
def redis_running(port: int) -> Iterator[str]:
    """Run a Redis that keeps nothing, and give its URL."""
    command = shutil.which("redis-server")
    if command is None:
        pytest.skip("there is no redis-server here")
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", "/"]
    with subprocess.Popen([command, *options], stdout=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    with Redis(port=port) as redis:
        while time.monotonic() < deadline:
            try:
                redis.ping()
            except RedisError:
                time.sleep(0.01)
            else:
                return
    raise TimeoutError("redis-server does not answer")


@pytest.fixture
def port() -> int:
    """A port that is free now."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        number: int = free.getsockname()[1]
        return number


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Tell what the cache's log says from the level of a warning on."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "tracker.github.cache" and record.levelno >= logging.WARNING
    ]


def test_memory_is_not_shared(github: GitHub, settings: Settings) -> None:
    client_with(settings, "memory").repository(FLASK)
    client_with(settings, "memory").repository(FLASK)
    assert len(github.calls) == 2


@pytest.mark.parametrize("name", ["cache.sqlite", "cache", "cache.d/github", "new/er/cache.db"])
def test_a_file_is_made_for_this_account_alone(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    client = client_with(settings, tmp_path / name)
    client.repository(FLASK)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name.endswith("-wal") for path in files)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_a_file_that_others_could_read_is_closed_to_them(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "cache.sqlite"
    path.touch(0o644)
    client_with(settings, path).repository(FLASK)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_clients_share_a_file(
    github: GitHub, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (client_with(settings, tmp_path / "cache.sqlite") for _ in range(2))
    assert first.repository(FLASK) == second.repository("Pallets/Flask")
    assert second.repository("django/django") == first.repository("django/django")
    assert len(github.calls) == 2
    assert warnings(caplog) == []


def test_a_client_sees_at_once_what_another_has_stored(
    github: GitHub, settings: Settings, tmp_path: Path
) -> None:
    mine, other = (client_with(settings, tmp_path / "cache") for _ in range(2))
    before = mine.repository(FLASK)
    github.repositories[FLASK]["stars"] += 1
    assert mine.repository(FLASK) == before
    other.refresh(FLASK, None)
    assert mine.repository(FLASK).stars == before.stars + 1
    assert mine.repository(FLASK).fetched_at > before.fetched_at


@pytest.mark.parametrize("damage", ["corrupt", "folder", "parent is a file", "not ours"])
def test_a_file_that_can_not_be_used_gives_way_to_memory(
    github: GitHub,
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    place = tmp_path / "cache.sqlite"
    if damage == "corrupt":
        place.write_bytes(b"This is no SQLite database. " * 100)
    elif damage == "folder":
        place.mkdir()
    elif damage == "parent is a file":
        (tmp_path / "file").touch()
        place = tmp_path / "file" / "cache.sqlite"
    else:
        place = Path("/proc/cache/cache.sqlite")
    client = client_with(settings, place)
    assert client.repository(FLASK) == client.repository(FLASK)
    assert len(github.calls) == 1
    [warning] = warnings(caplog)
    assert warning.startswith("GITHUB_CACHE can't be used, going on with memory: ")


def test_a_file_that_another_process_locks_delays_no_request_for_long(
    github: GitHub, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "cache.sqlite"
    client = client_with(settings, place)
    client.repository(FLASK)
    with closing(sqlite3.connect(place, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        assert client.repository("django/django").name == "django/django"
        assert time.monotonic() - started < 1
        assert client.repository(FLASK).name == FLASK
    assert warnings(caplog) == ["GITHUB_CACHE fails, going on with memory: database is locked"]
    client.repository("django/django")
    client.repository("django/django")
    assert len(github.calls) == 3


def test_a_file_that_breaks_later_fails_no_request(
    github: GitHub, settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "cache.sqlite"
    client = client_with(settings, place)
    client.repository(FLASK)
    with closing(sqlite3.connect(place)) as other:
        other.execute("DROP TABLE responses")
    for name in ("django/django", "django/django", "psf/requests"):
        assert client.repository(name).name == name
    assert len(github.calls) == 3
    assert len(warnings(caplog)) == 1


def test_a_damaged_file_fails_no_request(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place = tmp_path / "cache.sqlite"
    client = client_with(settings, place)
    client.repository(FLASK)
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xff" * path.stat().st_size)
    for name in ("django/django", "django/django", "psf/requests"):
        assert client.repository(name).name == name
    assert len(warnings(caplog)) <= 1


def test_an_entry_that_can_not_be_read_is_a_miss(
    github: GitHub, settings: Settings, tmp_path: Path
) -> None:
    place = tmp_path / "cache.sqlite"
    client = client_with(settings, place)
    client.repository(FLASK)
    with closing(sqlite3.connect(place)) as other:
        other.execute("UPDATE responses SET value = ?", (b"no pickle",))
        other.commit()
    assert client.repository(FLASK).name == FLASK
    assert client.repository(FLASK).name == FLASK
    assert len(github.calls) == 2


def test_clients_share_a_redis(
    github: GitHub, settings: Settings, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    with redis_running(port) as url:
        first, second = client_with(settings, url), client_with(settings, url)
        assert first.repository(FLASK) == second.repository("Pallets/Flask")
        assert len(github.calls) == 1
        with Redis(port=port) as redis:
            keys = list(redis.scan_iter())
            assert keys
            assert all(key.startswith(b"github-task-tracker") for key in keys)
            assert all(redis.ttl(key) == -1 for key in keys)
    assert warnings(caplog) == []


def test_memory_stands_in_for_a_redis_until_it_is_back(
    github: GitHub,
    settings: Settings,
    port: int,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "PAUSE", 0)
    with redis_running(port) as url:
        client = client_with(settings, url)
        client.repository(FLASK)
    for _ in range(2):
        assert client.repository(FLASK).name == FLASK
    assert len(github.calls) == 2
    [warning] = warnings(caplog)
    assert warning.startswith("GITHUB_CACHE fails, going on with memory: ")
    with redis_running(port) as url:
        client.repository("psf/requests")
        assert warnings(caplog)[1] == "GITHUB_CACHE works again"
        calls = len(github.calls)
        assert client_with(settings, url).repository("psf/requests").name == "psf/requests"
        assert len(github.calls) == calls


def test_a_redis_that_is_down_fails_no_request(
    github: GitHub, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    client = client_with(settings, f"redis://user:s3cret@127.0.0.1:{CLOSED_PORT}/0")
    for name in (FLASK, FLASK, "django/django"):
        assert client.repository(name).name == name
    assert len(github.calls) == 2
    [warning] = warnings(caplog)
    assert "s3cret" not in warning


@pytest.mark.parametrize("url", ["redis://127.0.0.1:port", "redis://[::1"])
def test_a_redis_url_that_makes_no_sense_gives_way_to_memory(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    assert type(open_cache(url)) is type(open_cache("memory"))
    [warning] = warnings(caplog)
    assert warning.startswith("GITHUB_CACHE can't be used, going on with memory: ")
