"""PostgreSQL hangs; each request gets its response in time, and no write is made later."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from helpers import Held, Service, connections, judge, load, served, wait_for, workers
from hurt import (
    MARGIN,
    all_suspended,
    execute,
    locked,
    one_backend_suspended,
    postmaster_suspended,
    read,
)
from tracker.database.driver import CONNECT_TIMEOUT, RESPONSE_TIMEOUT

pytestmark = [pytest.mark.failure, pytest.mark.slow]

HANGS: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "one of the server's processes hangs": one_backend_suspended,
    "server accepts no connections": postmaster_suspended,
    "server hangs": all_suspended,
}


def fill_pool(folder: Path, url: str, service: Service, path: str) -> None:
    """Open connections by concurrent requests; they then stay in the pools."""
    with ThreadPoolExecutor(20) as threads:
        with locked(folder, url):
            changes = [
                threads.submit(service.call, "PATCH", path, json={"status": "in_progress"})
                for _ in range(20)
            ]
            wait_for(lambda: connections(url) >= 10)
    assert {change.result().status_code for change in changes} <= {200, 503}


@pytest.mark.parametrize("fault", HANGS)
def test_a_hanging_server_delays_no_request_for_long(
    environment: dict[str, str],
    folder: Path,
    url: str,
    tmp_path: Path,
    report: Callable[..., None],
    fault: str,
) -> None:
    environment = {**environment, "GITHUB_TIMEOUT": "1"}
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        path = service.post("pallets/flask").headers["Location"]
        fill_pool(folder, url, service, path)
        with load(service, clients=6) as found:
            found.goes_on()
            before = Held.now(service, url)
            reads = []
            with HANGS[fault](folder):
                began = time.monotonic()
                while time.monotonic() - began < RESPONSE_TIMEOUT + CONNECT_TIMEOUT:
                    reads.append(read(service, path, found))
                    assert service.answers("/health/live")
                    time.sleep(0.1)
            ended = time.monotonic()
            found.goes_on()
            after = Held.now(service, url)
    judge(
        report,
        fault,
        found,
        url,
        tries=1,
        recovery=found.recovery(ended),
        before=before,
        after=after,
    )
    longest = RESPONSE_TIMEOUT + CONNECT_TIMEOUT + MARGIN
    assert found.slowest() < longest
    assert all(seconds < longest for _, seconds in reads)
    if fault == "one of the server's processes hangs":
        assert sum(status != 200 for status, _ in reads) <= 1
        assert max(found.slowest(), *(seconds for _, seconds in reads)) >= RESPONSE_TIMEOUT


@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_a_write_without_a_response_is_not_executed_later(
    environment: dict[str, str], folder: Path, url: str, tmp_path: Path, method: str
) -> None:
    def write() -> int:
        if method == "POST":
            return service.post("pallets/flask").status_code
        body = {"json": {"title": "Later"}} if method == "PATCH" else {}
        return service.call(method, paths.pop(), **body).status_code

    environment = {**environment, "WEB_CONCURRENCY": "1"}
    stored = "SELECT tasks::text FROM tasks ORDER BY id"
    with served(environment, tmp_path / "output") as service:
        paths = [service.post("pallets/flask").headers["Location"] for _ in range(2)]
        assert write() < 300  # the only connection has prepared the statement
        before = execute(url, stored)
        with all_suspended(folder):
            assert write() == 503
        wait_for(lambda: connections(url) == 0)  # the server has read everything sent to it
        assert execute(url, stored) == before
