"""Many clients that keep their connections, and slow ones: nobody is refused, and nothing grows."""

import http.client
import json
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

import psutil
import psycopg2
import pytest

from load import CUT, connections, descriptors, workers
from service import PATIENCE, Service, served, wait_for
from tracker.demo.github import GitHub

pytestmark = pytest.mark.failure

CLIENTS = 200
WARM_UP = 20  # seconds, in which a worker loads what it needs
SECONDS = 60
GROWTH = 0.15  # of the memory after the warm-up
POOL = 2 * 16  # WEB_CONCURRENCY times THREADS
SLACK = 8  # descriptors


class Seen(NamedTuple):
    """What clients were answered."""

    statuses: Counter[int]
    slowest: float


class Client:
    """A client that has one connection for all that it asks."""

    def __init__(self, service: Service, repositories: list[str], number: int) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", service.port, PATIENCE)
        self._repositories = repositories
        self._number = number
        self.seen: Counter[int] = Counter()
        self.slowest = 0.0

    def work(self, over: threading.Event) -> None:
        """Create, read, edit and list until it is over, or the connection ends."""
        try:
            self._connection.connect()
            self._connection.auto_open = 0
            turn = self._number
            while not over.is_set():
                repository = self._repositories[turn % len(self._repositories)]
                body = {"title": f"task {self._number}", "repository": repository}
                path = f"/tasks/{json.loads(self._ask('POST', '/tasks', body))['id']}"
                for method, where, change in (
                    ("GET", path, None),
                    ("PATCH", path, {"status": "done"}),
                    ("GET", "/tasks?limit=5", None),
                    ("GET", path, None),
                ):
                    self._ask(method, where, change)
                turn += 1
        except (OSError, http.client.HTTPException):
            self.seen[CUT] += 1
        finally:
            self._connection.close()

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> bytes:
        started = time.monotonic()
        headers = {} if body is None else {"Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        self._connection.request(method, path, text, headers)
        response = self._connection.getresponse()
        answer = response.read()
        self.slowest = max(self.slowest, time.monotonic() - started)
        self.seen[response.status] += 1
        if response.status >= 300:
            raise http.client.HTTPException(response.status)
        return answer


def load(service: Service, repositories: list[str], clients: int, seconds: float) -> Seen:
    """Have so many clients work for so long."""
    over = threading.Event()
    working = [Client(service, repositories, number) for number in range(clients)]
    with ThreadPoolExecutor(clients) as threads:
        jobs = [threads.submit(client.work, over) for client in working]
        time.sleep(seconds)
        over.set()
    for job in jobs:
        job.result()
    statuses = sum((client.seen for client in working), Counter[int]())
    return Seen(statuses, max(client.slowest for client in working))


@contextmanager
def slow_clients(service: Service) -> Iterator[None]:
    """Have two more, that send a byte a second: one of its head, one of its body."""
    head = b"POST /tasks HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    whole = head + b"Content-Length: 5000\r\n\r\n"
    over = threading.Event()

    def send(at_once: bytes) -> None:
        with socket.create_connection(("127.0.0.1", service.port), PATIENCE) as connection:
            connection.sendall(at_once)
            while not over.wait(1):
                connection.sendall(b" ")

    with ThreadPoolExecutor(2) as threads:
        jobs = [threads.submit(send, at_once) for at_once in (head + b"X-Slow:", whole)]
        try:
            yield
        finally:
            over.set()
    for job in jobs:
        job.result()


def memory(service: Service) -> int:
    """Tell how much memory the workers have that they do not share, in bytes."""
    return sum(int(worker.memory_full_info().uss) for worker in workers(service))


@pytest.mark.slow
def test_200_clients_are_all_served_for_a_minute_and_nothing_grows(
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
        with slow_clients(service):
            first = load(service, repositories, CLIENTS, WARM_UP)
            wait_for(lambda: idle(service))
            before = connections(url), others(service, url), memory(service)
            pids = workers(service)
            seen = load(service, repositories, CLIENTS, SECONDS)
            wait_for(lambda: others(service, url) <= before[1] + SLACK)
            after = connections(url), others(service, url), memory(service)
            assert workers(service) == pids
        wait_for(lambda: others(service, url) <= before[1])
        created, there = (first.statuses + seen.statuses)[201], stored(url)
        report(
            f"load: {CLIENTS} clients for {SECONDS} s, and slow ones",
            tries=sum(seen.statuses.values()),
            seen=dict(sorted(seen.statuses.items())),
            recovery="",
            lost=max(created - there, 0),
            doubled=max(there - created, 0),
            connections=f"{before[0]} → {after[0]}",
            descriptors=f"{before[1]} → {after[1]} others",
            slowest=f"{seen.slowest:.2f} s",
            memory=f"{before[2] >> 20} → {after[2] >> 20} MB",
        )
        assert "Traceback" not in service.log
        assert "ERROR" not in service.log
    assert set(first.statuses) | set(seen.statuses) == {200, 201}
    assert there == created
    assert after[0] <= POOL
    assert after[2] / before[2] - 1 < GROWTH


def stored(url: str) -> int:
    """Count the tasks that the clients have created."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tasks WHERE title LIKE 'task %'")
        (count,) = cursor.fetchone() or (0,)
        return int(count)


def others(service: Service, url: str) -> int:
    """Count what the workers have open but for connections to the database: a pool keeps these."""
    return descriptors(service) - connections(url)


def idle(service: Service) -> bool:
    """See whether no client but slow ones has a connection."""
    there = [
        connection
        for worker in workers(service)
        for connection in worker.net_connections("tcp")
        if connection.status == psutil.CONN_ESTABLISHED and connection.laddr.port == service.port
    ]
    return len(there) <= 2
