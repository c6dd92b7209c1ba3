"""The cache of GitHub's responses: where it is, and that its failure never fails a request."""

import logging
import os
import sqlite3
import stat
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
import requests

from tracker.config import Settings
from tracker.demo.github import GitHub
from tracker.github import cache
from tracker.github.cache import open_cache
from tracker.github.client import GitHubClient

FLASK = "pallets/flask"


def client_with(settings: Settings, location: Path | str) -> GitHubClient:
    return GitHubClient(replace(settings, github_cache=str(location)))


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the cache's warnings."""
    return [
        record.getMessage()
        for record in caplog.records
        if record.name == "tracker.github.cache" and record.levelno >= logging.WARNING
    ]


def test_clients_do_not_share_memory(github: GitHub, settings: Settings) -> None:
    client_with(settings, "memory").repository(FLASK)
    client_with(settings, "memory").repository(FLASK)
    assert len(github.calls) == 2


@pytest.mark.parametrize("name", ["cache.sqlite", "cache", "cache.d/github", "new/er/cache.db"])
def test_a_file_is_created_for_this_account_alone(
    settings: Settings, tmp_path: Path, name: str
) -> None:
    client = client_with(settings, tmp_path / name)
    client.repository(FLASK)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert any(path.name.endswith("-wal") for path in files)
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}
    folder = (tmp_path / name).parent
    assert folder == tmp_path or stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_file_that_others_could_read_is_closed_to_them(
    settings: Settings, tmp_path: Path
) -> None:
    path = tmp_path / "cache.sqlite"
    path.touch(0o644)
    client_with(settings, path).repository(FLASK)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize(("mode", "refused"), [(0o777, True), (0o770, True), (0o1777, False)])
def test_a_folder_that_others_can_write_to_is_refused(
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    mode: int,
    refused: bool,
) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    folder.chmod(mode)
    client_with(settings, folder / "cache.sqlite").repository(FLASK)
    assert bool(list(folder.iterdir())) is not refused
    assert ("other accounts can write to" in caplog.text) is refused


def test_a_folder_of_another_account_is_refused(
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = os.geteuid() + 1
    if os.geteuid() == 0:  # root's own folders are safe for everyone
        os.chown(tmp_path, other, -1)
    else:
        monkeypatch.setattr(os, "geteuid", lambda: other)
    client_with(settings, tmp_path / "cache.sqlite").repository(FLASK)
    assert not list(tmp_path.iterdir())
    assert f"{tmp_path} belongs to another account" in caplog.text


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
@pytest.mark.parametrize("name", ["cache.sqlite", "cache.sqlite-wal"])
def test_a_file_of_another_account_is_refused(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    tmp_path.chmod(0o1777)
    planted = tmp_path / name
    planted.touch(0o644)
    os.chown(planted, 1, -1)
    client_with(settings, tmp_path / "cache.sqlite").repository(FLASK)
    assert list(tmp_path.iterdir()) == [planted]
    assert planted.read_bytes() == b""
    assert f"{planted} belongs to another account" in caplog.text


@pytest.mark.parametrize("name", ["cache.sqlite", "cache.sqlite-wal"])
@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_not_followed(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture, name: str, there: bool
) -> None:
    victim = tmp_path / "victim"
    if there:
        victim.touch(0o644)
    link = tmp_path / "folder" / name
    link.parent.mkdir()
    link.symlink_to(victim)
    client_with(settings, link.with_name("cache.sqlite")).repository(FLASK)
    assert victim.exists() is there
    assert not there or stat.S_IMODE(victim.stat().st_mode) == 0o644
    assert f"{link} is a link" in caplog.text


def test_clients_share_a_file(
    github: GitHub, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = GitHubClient(settings), GitHubClient(settings)
    assert first.repository(FLASK) == second.repository("Pallets/Flask")
    assert second.repository("django/django") == first.repository("django/django")
    assert len(github.calls) == 2
    assert warnings(caplog) == []


def test_a_client_sees_at_once_what_another_has_stored(github: GitHub, settings: Settings) -> None:
    mine, other = GitHubClient(settings), GitHubClient(settings)
    before = mine.repository(FLASK)
    github.repositories[FLASK]["stars"] += 1
    assert mine.repository(FLASK) == before
    other.refresh(FLASK, None)
    assert mine.repository(FLASK).stars == before.stars + 1
    assert mine.repository(FLASK).fetched_at > before.fetched_at


@pytest.mark.parametrize("damage", ["corrupt", "folder", "parent is a file", "not ours"])
def test_memory_replaces_a_file_that_cannot_be_opened(
    github: GitHub,
    settings: Settings,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: str,
) -> None:
    path = tmp_path / "cache.sqlite"
    if damage == "corrupt":
        path.write_bytes(b"This is no SQLite database. " * 100)
    elif damage == "folder":
        path.mkdir()
    elif damage == "parent is a file":
        (tmp_path / "file").touch()
        path = tmp_path / "file" / "cache.sqlite"
    else:
        path = Path("/proc/cache/cache.sqlite")
    client = client_with(settings, path)
    assert client.repository(FLASK) == client.repository(FLASK)
    assert len(github.calls) == 1
    [warning] = warnings(caplog)
    assert warning.startswith("GITHUB_CACHE can't be opened, using memory instead: ")


def test_a_locked_file_delays_no_request_for_long(
    github: GitHub, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    client = GitHubClient(settings)
    client.repository(FLASK)
    with closing(sqlite3.connect(settings.github_cache, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        started = time.monotonic()
        assert client.repository("django/django").name == "django/django"
        assert time.monotonic() - started < 1.2
        assert client.repository(FLASK).name == FLASK
    assert warnings(caplog) == ["GITHUB_CACHE failed, using memory instead: database is locked"]
    client.repository("django/django")
    client.repository("django/django")
    assert len(github.calls) == 3


def test_the_file_is_used_again_after_the_cooldown(
    github: GitHub,
    settings: Settings,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cache, "COOLDOWN", 0.0)
    client = GitHubClient(settings)
    with closing(sqlite3.connect(settings.github_cache, isolation_level=None)) as other:
        client.repository(FLASK)
        other.execute("BEGIN IMMEDIATE")
        client.repository("django/django")
    client.repository("psf/requests")
    client.repository("git/git")
    assert warnings(caplog)[1:] == ["GITHUB_CACHE works again"]
    assert GitHubClient(settings).repository("psf/requests").name == "psf/requests"
    assert len(github.calls) == 4


def test_a_file_that_breaks_later_fails_no_request(
    github: GitHub, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    client = GitHubClient(settings)
    client.repository(FLASK)
    with closing(sqlite3.connect(settings.github_cache)) as other:
        other.execute("DROP TABLE github")
    for name in ("django/django", "django/django", "psf/requests"):
        assert client.repository(name).name == name
    assert len(github.calls) == 3
    assert len(warnings(caplog)) == 1


def test_an_overwritten_file_fails_no_request(
    settings: Settings, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    client = GitHubClient(settings)
    client.repository(FLASK)
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xff" * path.stat().st_size)
    for name in ("django/django", "django/django", "psf/requests"):
        assert client.repository(name).name == name
    assert len(warnings(caplog)) <= 1


@pytest.mark.parametrize("url", ["redis://127.0.0.1:port", "redis://[::1"])
def test_memory_replaces_a_redis_with_an_invalid_url(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    def accept(response: requests.Response) -> None:
        """Accept any response."""

    assert type(open_cache(url, accept)) is type(open_cache("memory", accept))
    [warning] = warnings(caplog)
    assert warning.startswith("GITHUB_CACHE can't be opened, using memory instead: ")
