"""The cache of GitHub's responses fails under load; no request fails with it."""

import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from helpers import Held, judge, load, served, wait_for, workers
from tracker.demo.github import GitHub

# tests/github/test_cache.py damages the file without a service, in a moment.
pytestmark = [pytest.mark.failure, pytest.mark.slow]

WARNING = "tracker.github.cache: GITHUB_CACHE "


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Mount a small file system in memory; skip the test where that is not allowed."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs to mount a file system: {error}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    with suppress(OSError), (folder / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


def corrupt(folder: Path) -> None:
    """Overwrite the cache's files."""
    for path in folder.iterdir():
        with path.open("r+b") as file:
            file.write(b"\xff" * max(path.stat().st_size, 4096))


def replace_with_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / "github.sqlite").mkdir()


def make_read_only(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


# The damage to the cache's folder, and whether it happens while the service runs.
DAMAGES: dict[str, tuple[Callable[[Path], None], bool]] = {
    "cache on a full disk at the start": (fill, False),
    "cache on a disk that becomes full": (fill, True),
    "cache on a read-only disk": (make_read_only, False),
    "cache file is a folder": (replace_with_folder, False),
    "cache file corrupt at the start": (corrupt, False),
    "cache file corrupted": (corrupt, True),
}


@pytest.mark.parametrize("fault", DAMAGES)
def test_a_failing_cache_fails_no_request_and_is_logged_once(
    environment: dict[str, str],
    tmp_path: Path,
    github: GitHub,
    report: Callable[..., None],
    fault: str,
) -> None:
    damage, running = DAMAGES[fault]
    url, folder = environment["DATABASE_URL"], tmp_path / "disk"
    environment = {**environment, "GITHUB_CACHE": str(folder / "github.sqlite")}
    names = [name for name in github.repositories if name != "pallets/flask"][:8]
    with ExitStack() as stack:
        if "disk" in fault:
            stack.enter_context(mounted(folder, "size=512k"))
        else:
            folder.mkdir()
        if not running:
            (folder / "github.sqlite").touch()
            damage(folder)
        environment["WEB_CONCURRENCY"] = "1"  # which logs once
        service = stack.enter_context(served(environment, tmp_path / "output"))
        wait_for(lambda: len(workers(service)) == 1)
        assert service.post("pallets/flask").status_code == 201
        with load(service, clients=4) as found:
            found.goes_on()
            before = Held.now(service, url)
            if running:
                assert WARNING not in service.log
                damage(folder)
            damaged = time.monotonic()
            assert {service.post(name).status_code for name in names} == {201}
            assert {service.post(name).status_code for name in names} == {201}
            found.goes_on()
            after = Held.now(service, url)
        judge(
            report,
            fault,
            found,
            url,
            tries=1,
            recovery=found.recovery(damaged),
            before=before,
            after=after,
            statuses=(200, 201),
            pool=10,
        )
        assert service.log.count(WARNING) == 1
        assert "Traceback" not in service.log
        assert len(github.calls) <= 2 * (1 + len(names))
