"""200 clients for a minute: each request succeeds, and neither memory nor files grow."""

import http.client
import json
import threading
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg2
import pytest

from helpers import CUT, PATIENCE, Service, connections, descriptors, served, wait_for, workers
from slow_clients import slow_clients
from tracker.demo.github import GitHub

pytestmark = pytest.mark.failure

CLIENTS = 200
WARM_UP = 20  # seconds, in which a worker loads what it needs
SECONDS = 60
GROWTH = 0.15  # of the memory after the warm-up
POOL = 2 * 10  # WEB_CONCURRENCY times DATABASE_POOL_SIZE
SLOW_CLIENTS = 30
SLACK = 8  # descriptors


class Seen(NamedTuple):
    """The outcome of all requests."""

    statuses: Counter[int]
    slowest: float


class Client:
    """A client that sends all its requests on one connection."""

    def __init__(self, service: Service, repositories: list[str], number: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, PATIENCE)
        self._repositories = repositories
        self._number = number
        self.seen: Counter[int] = Counter()
        self.slowest = 0.0

    def work(self, stopped: threading.Event) -> None:
        """Create, read, edit and list tasks until the load stops or the connection ends."""
        try:
            self._connection.connect()
            self._connection.auto_open = 0
            number = self._number
            while not stopped.is_set():
                repository = self._repositories[number % len(self._repositories)]
                body = {"title": f"task {self._number}", "repository": repository}
                path = f"/tasks/{json.loads(self._send('POST', '/tasks', body))['id']}"
                for method, where, change in (
                    ("GET", path, None),
                    ("PATCH", path, {"status": "done"}),
                    ("GET", "/tasks?limit=5", None),
                    ("GET", path, None),
                ):
                    self._send(method, where, change)
                number += 1
        except (OSError, http.client.HTTPException):
            self.seen[CUT] += 1
        finally:
            self._connection.close()

    def _send(self, method: str, path: str, body: dict[str, str] | None = None) -> bytes:
        started = time.monotonic()
        headers = {} if body is None else {"Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, headers)
        response = self._connection.getresponse()
        content = response.read()
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.seen[response.status] += 1
        if response.status >= 300:
            raise http.client.HTTPException(response.status)
        return content


def load(service: Service, repositories: list[str], clients: int, seconds: float) -> Seen:
    """Run so many clients for so many seconds."""
    stopped = threading.Event()
    working = [Client(service, repositories, number) for number in range(clients)]
    with ThreadPoolExecutor(clients) as threads:
        jobs = [threads.submit(client.work, stopped) for client in working]
        time.sleep(seconds)
        stopped.set()
    for job in jobs:
        job.result()
    statuses = sum((client.seen for client in working), Counter[int]())
    return Seen(statuses, max(client.slowest for client in working))


def memory(service: Service) -> int:
    """Return the bytes of memory that the workers do not share."""
    return sum(int(worker.memory_full_info().uss) for worker in workers(service))


@pytest.mark.slow
def test_200_clients_are_served_for_a_minute(
    environment: dict[str, str],
    github: GitHub,
    tmp_path: Path,
    report: Callable[..., None],
) -> None:
    url, repositories = environment["DATABASE_URL"], list(github.repositories)
    with served({**environment, "GITHUB_TIMEOUT": ""}, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        for repository in repositories:
            assert service.post(repository).status_code == 201
        with slow_clients(service, SLOW_CLIENTS):
            first = load(service, repositories, CLIENTS, WARM_UP)
            wait_for(lambda: idle(service))
            before = connections(url), others(service, url), memory(service)
            pids = workers(service)
            seen = load(service, repositories, CLIENTS, SECONDS)
            wait_for(lambda: others(service, url) <= before[1] + SLACK)
            after = connections(url), others(service, url), memory(service)
            assert workers(service) == pids
        wait_for(lambda: others(service, url) <= before[1])
        created, found = (first.statuses + seen.statuses)[201], stored(url)
        report(
            f"load: {CLIENTS} clients for {SECONDS} s, and slow ones",
            tries=sum(seen.statuses.values()),
            seen=dict(sorted(seen.statuses.items())),
            recovery="",
            lost=max(created - found, 0),
            doubled=max(found - created, 0),
            connections=f"{before[0]} → {after[0]}",
            descriptors=f"{before[1]} → {after[1]} others",
            slowest=f"{seen.slowest:.2f} s",
            memory=f"{before[2] >> 20} → {after[2] >> 20} MB",
        )
        assert "Traceback" not in service.log
        assert "ERROR" not in service.log
    assert set(first.statuses) | set(seen.statuses) == {200, 201}
    assert found == created
    assert after[0] <= POOL
    assert after[2] / before[2] - 1 < GROWTH


def stored(url: str) -> int:
    """Count the tasks that the clients created."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tasks WHERE title LIKE 'task %'")
        (count,) = cursor.fetchone() or (0,)
        return int(count)


def others(service: Service, url: str) -> int:
    """Count the workers' open files, except the database connections that the pools keep."""
    return descriptors(service) - connections(url)


def idle(service: Service) -> bool:
    """Return whether only the slow clients have connections."""
    established = [
        connection
        for worker in workers(service)
        for connection in worker.net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == service.port
    ]
    return len(established) <= SLOW_CLIENTS
