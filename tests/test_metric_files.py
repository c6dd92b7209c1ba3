"""The metrics of gunicorn's processes, which share files."""

import fcntl
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

from helpers import PATIENCE, ROOT, Service, served, wait_for, workers
from scraped import samples

REQUESTS = "tracker_http_requests_total"
LIVE = (REQUESTS, "GET", "/health/live", "200")
PREFIX = "github-task-tracker-metrics-"
SHARE = """
import pathlib, sys
from tracker import metric_files
metric_files.MEMORY = pathlib.Path(sys.argv[1])
metric_files.share()
"""


def scrape(service: Service) -> dict[tuple[str, ...], float]:
    return samples(service.call("GET", "/metrics").text)


def folder_of(service: Service) -> Path:
    """Return the folder with the metrics of the service's processes."""
    files = [file.path for file in workers(service)[0].memory_maps() if PREFIX in file.path]
    return Path(files[0].removesuffix(" (deleted)")).parent


def test_a_scrape_has_the_requests_of_all_workers(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with served({**environment, "WEB_CONCURRENCY": "3"}, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 3)
        before = scrape(service)
        for _ in range(30):
            service.call("GET", "/health/live")
        for _ in range(5):
            assert scrape(service)[LIVE] - before.get(LIVE, 0) == 30
        wait_for(lambda: scrape(service)["tracker_database_pool_connections_max",] == 3 * 10)


def test_counters_outlive_workers_and_gauges_do_not(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        service.call("GET", "/health/live")
        for _ in range(2):
            before, first = scrape(service), workers(service)
            service.process.send_signal(signal.SIGHUP)
            wait_for(lambda: len(workers(service)) == 2 and not {*first} & {*workers(service)})  # noqa: B023
            assert scrape(service)[LIVE] >= before[LIVE]
        killed = workers(service)[0]
        killed.kill()
        wait_for(lambda: len(workers(service)) == 2 and killed not in workers(service))
        pool = ("tracker_database_pool_connections_max",)
        wait_for(lambda: scrape(service)[pool] == 2 * 10)
        assert scrape(service)[LIVE] >= before[LIVE]
        # During a reload there are four workers at most, and the files are used again.
        assert len(list(folder_of(service).glob("counter_*.db"))) <= 5


def test_the_folder_is_private_and_ends_with_the_service(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        service.call("GET", "/health/live")
        folder = folder_of(service)
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert service.end() == 0
        assert not folder.exists()


def test_the_service_goes_on_without_the_folder(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        first = workers(service)
        shutil.rmtree(folder_of(service))
        scrape(service)
        shutil.rmtree(folder_of(service), ignore_errors=True)
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(workers(service)) == 2 and not {*first} & {*workers(service)})
        service.call("GET", "/health/live")
        assert scrape(service)[LIVE] >= 1


def test_a_start_deletes_what_killed_processes_have_left(tmp_path: Path) -> None:
    names = ("abandoned", "new", "in-use")
    folders = {name: tmp_path / f"{PREFIX}{name}" for name in names}
    for folder in folders.values():
        folder.mkdir()
        (folder / "counter_1.db").touch()
    for name in ("abandoned", "in-use"):
        os.utime(folders[name], (0, time.time() - 3600))
    descriptor = os.open(folders["in-use"], os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH)
        subprocess.run(
            [sys.executable, "-c", SHARE, str(tmp_path)], cwd=ROOT, timeout=PATIENCE, check=True
        )
    finally:
        os.close(descriptor)
    assert {*tmp_path.iterdir()} == {folders["new"], folders["in-use"]}
