"""Exports of the running service: slow, killed and many clients, and faults in the middle."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import pytest

from gated import busy_connections
from helpers import PATIENCE, Service, fill, served, wait_for, workers
from hurt import execute
from raw import QUICK
from tracker.config import Settings
from tracker.database import migrations

TASKS, SIZE = 3_000, 4_000  # more than the kernel buffers for a client that does not read
MEMORY_MAX = 12 * 1024 * 1024  # bytes that a worker may grow by


@pytest.fixture(scope="module")
def url(module_environment: dict[str, str]) -> str:
    """A database with tasks whose export is larger than the kernel's buffers."""
    fill(module_environment["DATABASE_URL"], TASKS, SIZE)
    return module_environment["DATABASE_URL"]


@pytest.fixture(scope="module")
def service(
    url: str, module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The service with two workers, each with one connection for all other requests."""
    environment = {**module_environment, "DATABASE_POOL_SIZE": "1"}
    with served(environment, tmp_path_factory.mktemp("export") / "output") as service:
        yield service


def start_export(service: Service, stack: ExitStack, version: str = "1.1") -> socket.socket:
    """Request an export, and read no more of it than its beginning.

    Its ID is `export-VERSION`.
    """
    client = stack.enter_context(closing(socket.socket()))
    # Buffers as for a remote client: on loopback the kernel would take megabytes.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)
    client.settimeout(PATIENCE)
    client.connect(("127.0.0.1", service.port))
    head = f"GET /tasks/export HTTP/{version}\r\nHost: localhost\r\n"
    client.sendall(f"{head}X-Request-ID: export-{version}\r\n\r\n".encode())
    assert b" 200 OK" in client.recv(100)
    return client


def read_to_end(client: socket.socket) -> None:
    while client.recv(1_000_000):
        pass


def test_two_exports_run_at_a_time_in_all_workers(service: Service) -> None:
    with ExitStack() as stack:
        clients = [start_export(service, stack) for _ in range(2)]
        for _ in range(10):
            refused = service.call("GET", "/tasks/export")
            assert (refused.status_code, refused.headers["Retry-After"]) == (503, "10")
            assert refused.json()["reason"] == "too_many_exports"
            assert service.call("GET", "/tasks?limit=1").status_code == 200
        clients[0].close()
        wait_for(lambda: service.call("GET", "/tasks/export").status_code == 200)


def test_a_client_that_goes_away_ends_its_export(service: Service, url: str) -> None:
    with ExitStack() as stack:
        start_export(service, stack)
        wait_for(lambda: busy_connections(url) == 1)
    closed = time.monotonic()
    wait_for(lambda: busy_connections(url) == 0)
    assert time.monotonic() - closed < QUICK
    assert not re.search("ERROR.* request_id=export-1.1$", service.log, re.MULTILINE)


def end_transaction(service: Service, url: str) -> None:
    ended = execute(
        url,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE state LIKE '%in transaction%' AND datname = current_database()",
    )
    assert ended == [(True,)]


def kill_workers(service: Service, url: str) -> None:
    for worker in workers(service):
        with suppress(psutil.NoSuchProcess):
            worker.kill()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("fault", [end_transaction, kill_workers])
def test_an_export_that_fails_midway_resets_the_connection(
    service: Service, url: str, fault: Callable[[Service, str], None], version: str
) -> None:
    with ExitStack() as stack:
        client = start_export(service, stack, version)
        fault(service, url)
        with pytest.raises(ConnectionResetError):
            read_to_end(client)
    if fault is end_transaction:
        failed = f"ERROR .*: Export failed midway: .* request_id=export-{version}$"
        assert len(re.findall(failed, service.log, re.MULTILINE)) == 1
    wait_for(lambda: service.call("GET", "/tasks/export").text.count("\n") == TASKS)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_a_whole_export_ends_without_a_reset(service: Service, version: str) -> None:
    with ExitStack() as stack:
        client = start_export(service, stack, version)
        client.shutdown(socket.SHUT_WR)  # no further request
        read_to_end(client)


def test_an_export_needs_little_memory(
    environment: dict[str, str], empty_database_url: str, tmp_path: Path
) -> None:
    migrations.upgrade(Settings(database_url=empty_database_url))
    fill(empty_database_url, 2_700, 10_000)
    environment |= {"DATABASE_URL": empty_database_url, "WEB_CONCURRENCY": "1"}
    with served(environment, tmp_path / "output") as service:
        (worker,) = workers(service)
        before = worker.memory_info().rss
        for name in ("jsonl", "csv"):
            text = service.call("GET", f"/tasks/export?format={name}").text
            assert len(text) > 2 * MEMORY_MAX
        peak = peak_memory(worker.pid)
    assert peak - before < MEMORY_MAX


def peak_memory(pid: int) -> int:
    """Return the most memory that the process has had, in bytes."""
    (line,) = [
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmHWM:")
    ]
    return int(line.split()[1]) * 1024
