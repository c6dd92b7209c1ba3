"""A stand-in for GitHub that can hold its calls, and requests that record their outcome."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import Any

import psycopg2
import requests

from conftest import NAMES
from helpers import PATIENCE, Answer, Load, Service, lost_and_doubled
from tracker.demo.github import Fault, GitHub

FLASK = "pallets/flask"
TOKEN = "s3cret-t0ken-of-github"
TIMEOUT = 1.5  # seconds, GITHUB_TIMEOUT
MARGIN = 0.9  # seconds that a response may take beyond it on a busy machine
EXPIRED = 1.1  # seconds after which a cached response is stale, with GITHUB_CACHE_TTL=1


class Gated(GitHub):
    """A stand-in that can hold calls before it decides how to respond."""

    def __enter__(self) -> "Gated":
        super().__enter__()
        return self

    def __init__(self, port: int = 0) -> None:
        self.held = 0  # number of calls that `holding` has held
        self._gate = threading.Event()
        self._gate.set()
        super().__init__(port)

    @property
    def fault(self) -> Fault | None:
        if not self._gate.is_set():
            with self.lock:
                self.held += 1
            self._gate.wait(PATIENCE)
        return self._fault

    @fault.setter
    def fault(self, fault: Fault | None) -> None:
        self._fault = fault

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold all calls until the block ends."""
        self.held = 0
        self._gate.clear()
        try:
            yield
        finally:
            self._gate.set()

    def add(self, name: str) -> str:
        """Add a repository; return its name."""
        known = self.repositories[FLASK]
        self.repositories[name] = known | {
            "full_name": name,
            "id": 10**9 + len(self.repositories),
            "description": name,
        }
        return name


def gated_environment(url: str, github: GitHub, cache: str) -> dict[str, str]:
    """Return the environment of a service with one worker and a small pool."""
    return dict.fromkeys(NAMES, "") | {
        "DATABASE_URL": url,
        "GITHUB_API_BASE": github.url,
        "GITHUB_CACHE": cache,
        "GITHUB_CACHE_TTL": "1",
        "GITHUB_TIMEOUT": str(TIMEOUT),
        "GITHUB_TOKEN": TOKEN,
        "DATABASE_POOL_SIZE": "2",
        "WEB_CONCURRENCY": "1",
    }


def fetch(url: str, query: str, *values: object) -> Any:
    """Return the one row of a query."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(query, values)
        return cursor.fetchone()


def busy_connections(url: str) -> int:
    """Count the service's connections that are in a transaction or a statement."""
    (found,) = fetch(
        url,
        "SELECT count(*) FROM pg_stat_activity WHERE state <> 'idle'"
        " AND application_name = 'github-task-tracker' AND datname = current_database()",
    )
    return int(found)


def send(
    service: Service, found: Load, method: str, path: str, **options: Any
) -> requests.Response:
    """Send a request, and record its outcome."""
    started = time.monotonic()
    response = service.call(method, path, **options)
    ended = time.monotonic()
    response.raw = None  # it would keep the connection open as long as the response
    found.answers.append(Answer(ended, ended - started, f"{method} {path}", response.status_code))
    if method == "POST" and response.status_code == 201:
        found.created.add(response.json()["title"])
    return response


def create(
    service: Service, found: Load, title: str, repository: str, query: str = "", **options: Any
) -> requests.Response:
    """Send a request for a new task, and record its outcome."""
    body = {"title": title, "repository": repository}
    return send(service, found, "POST", f"/tasks{query}", json=body, **options)


def report_load(
    report: Callable[..., None],
    fault: str,
    found: Load,
    url: str,
    *,
    recovery: float,
    start: tuple[int, int],
    end: tuple[int, int],
    slowest: str,
) -> None:
    """Report a load, and check that it lost and doubled nothing."""
    lost, doubled = lost_and_doubled(found, url)
    report(
        fault,
        tries=len(found.answers),
        seen=found.seen(),
        recovery=f"{recovery:.2f} s",
        lost=lost,
        doubled=doubled,
        connections=f"{start[0]} → {end[0]}",
        descriptors=f"{start[1]} → {end[1]}",
        slowest=slowest,
    )
    assert (lost, doubled) == (0, 0)
