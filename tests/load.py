"""Clients that use the service while something fails, and an account of what it kept."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psutil
import psycopg2
import requests

from service import PATIENCE, Service

CUT = 0  # the status of a request whose connection ended without an answer
PAUSE = 0.02  # seconds before a client tries a failed request again


class Answer(NamedTuple):
    """What a request came to."""

    ended: float  # by time.monotonic()
    seconds: float
    request: str  # method and path
    status: int


@dataclass
class Load:
    """What the clients have been answered."""

    answers: list[Answer] = field(default_factory=list)
    created: set[str] = field(default_factory=set)  # titles of tasks that were acknowledged
    done: set[str] = field(default_factory=set)  # those whose change was acknowledged too

    def seen(self) -> dict[int, int]:
        """Count the answers by status."""
        return dict(sorted(Counter(answer.status for answer in self.answers).items()))

    def recovery(self, since: float) -> float:
        """Tell how long after a moment the last request failed, in seconds."""
        failed = [a.ended - since for a in self.answers if not 200 <= a.status < 300]
        return max([0.0, *failed])


@contextmanager
def load(service: Service, clients: int = 8, repository: str = "pallets/flask") -> Iterator[Load]:
    """Have clients create, read, edit and list tasks until the block ends.

    Each keeps its connection, and repeats what failed until it succeeds, a creation under its
    key; in the end it brings to an end what it has begun.
    """
    found, over = Load(), threading.Event()
    threads = [
        threading.Thread(target=_work, args=(service, repository, found, over))
        for _ in range(clients)
    ]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        over.set()
        for thread in threads:
            thread.join(2 * PATIENCE)
    assert not any(thread.is_alive() for thread in threads)


def _work(service: Service, repository: str, found: Load, over: threading.Event) -> None:
    with requests.Session() as session:
        session.trust_env = False

        def ask(method: str, path: str, **options: Any) -> requests.Response:
            stop = time.monotonic() + PATIENCE
            while True:
                started = time.monotonic()
                try:
                    url = f"http://127.0.0.1:{service.port}{path}"
                    response = session.request(method, url, timeout=PATIENCE, **options)
                    status = response.status_code
                except requests.RequestException:
                    status = CUT
                ended = time.monotonic()
                found.answers.append(Answer(ended, ended - started, f"{method} {path}", status))
                if 200 <= status < 300:
                    return response
                assert ended < stop, found.answers[-1]
                time.sleep(PAUSE)

        while not over.is_set():
            title = uuid.uuid4().hex
            body = {"title": title, "repository": repository}
            task = ask("POST", "/tasks", json=body, headers={"Idempotency-Key": title}).json()
            found.created.add(title)
            path = f"/tasks/{task['id']}"
            ask("GET", path)
            ask("PATCH", path, json={"status": "done"})
            found.done.add(title)
            ask("GET", "/tasks?limit=10")


def lost_and_doubled(found: Load, database_url: str) -> tuple[int, int]:
    """Count the writes that were acknowledged and are not there, and those that are there twice.

    A change that was made twice would have left the task at its third version.
    """
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT title, status, version FROM tasks")
        rows = cursor.fetchall()
    there = Counter(title for title, _, _ in rows)
    changed = Counter(title for title, status, _ in rows if status == "done")
    lost = found.created - there.keys() | found.done - changed.keys()
    doubled = {title for title, number in there.items() if number > 1}
    doubled |= {title for title, _, version in rows if version > 2}
    return len(lost), len(doubled)


def connections(database_url: str) -> int:
    """Count the service's connections to the database."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE application_name = 'github-task-tracker' AND datname = current_database()"
        )
        (count,) = cursor.fetchone() or (0,)
        return int(count)


def workers(service: Service) -> list[psutil.Process]:
    """Find gunicorn's workers."""
    return psutil.Process(service.process.pid).children()


def descriptors(service: Service) -> int:
    """Count the open files and sockets of all workers."""
    return sum(worker.num_fds() for worker in workers(service))
