"""Clients that use the service while something fails, and an account of what it kept."""

import math
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import psutil
import psycopg2
import requests

from service import PATIENCE, Service, wait_for

CUT = 0  # the status of a request whose connection ended without an answer
PAUSE = 0.02  # seconds before a client tries a failed request again
SLACK = 8  # descriptors more than before, for clients that come and go; a leak makes far more
INSIDES = re.compile(
    r"SELECT|INSERT|UPDATE|DELETE|Traceback|psycopg|peewee|FATAL|line \d|\.py|\w/\w"
)


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
    refusals: set[str] = field(default_factory=set)  # what the answers with 503 said
    unclear: list[str] = field(default_factory=list)  # answers that tell too little or too much

    def seen(self) -> dict[int, int]:
        """Count the answers by status."""
        return dict(sorted(Counter(answer.status for answer in self.answers).items()))

    def recovery(self, since: float, until: float = math.inf) -> float:
        """Tell how long after a moment the last request failed, or the first one succeeded."""
        answers = [a for a in self.answers if since <= a.ended <= until]
        failed = [a.ended - since for a in answers if not 200 <= a.status < 300]
        succeeded = [a.ended - since for a in answers if 200 <= a.status < 300]
        return max(*failed, min(succeeded, default=math.inf), 0.0)

    def look_at(self, response: requests.Response) -> None:
        """Note an answer that is neither a success nor a clear refusal."""
        if 200 <= response.status_code < 300:
            return
        clear = response.status_code == 503 and int(response.headers.get("Retry-After", 0)) > 0
        body = response.json() if "json" in response.headers["Content-Type"] else {}
        self.refusals.add(str(body.get("message")))
        if not clear or {*body} != {"code", "status", "message"} or INSIDES.search(response.text):
            self.unclear.append(f"{response.status_code} {response.headers} {response.text[:300]}")

    def slowest(self) -> float:
        """Tell how long the slowest request took, in seconds."""
        return max((answer.seconds for answer in self.answers), default=0.0)

    def goes_on(self, times: int = 20) -> None:
        """Wait until so many more tasks are acknowledged."""
        wanted = len(self.created) + times
        wait_for(lambda: len(self.created) >= wanted)


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
                    found.look_at(response)
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
    twice = {title for title, number in there.items() if number > 1}
    twice |= {title for title, _, version in rows if version > 2}
    doubled = twice & found.created
    return len(lost), len(doubled)


class Held(NamedTuple):
    """What the service's workers hold."""

    connections: int  # to the database
    descriptors: int  # open files and sockets

    @classmethod
    def now(cls, service: Service, database_url: str) -> "Held":
        return cls(connections(database_url), descriptors(service))


def judge(
    report: Callable[..., None],
    fault: str,
    found: Load,
    database_url: str,
    *,
    tries: int,
    recovery: float,
    before: Held,
    after: Held,
    statuses: Collection[int] = (200, 201, 503),
    pool: int = 2 * 16,
) -> None:
    """Report what a fault came to, and hold it against what is promised."""
    lost, doubled = lost_and_doubled(found, database_url)
    report(
        fault,
        tries=tries,
        seen=found.seen(),
        recovery=f"{recovery:.2f} s",
        lost=lost,
        doubled=doubled,
        connections=f"{before.connections} → {after.connections}",
        descriptors=f"{before.descriptors} → {after.descriptors}",
        slowest=f"{found.slowest():.1f} s",
    )
    assert (lost, doubled) == (0, 0)
    assert found.unclear == []
    assert found.seen().keys() <= set(statuses)
    assert recovery < 2, found.refusals
    assert after.connections <= pool
    grown = after.descriptors - before.descriptors
    assert grown <= max(after.connections - before.connections, 0) + SLACK


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
    count = 0
    for worker in workers(service):
        with suppress(psutil.Error):  # it has just been killed
            count += worker.num_fds()
    return count
