"""Helpers of the tests: the service as a process group, and clients that put load on it."""

import math
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg2
import requests

ROOT = Path(__file__).resolve().parent.parent
GUNICORN = (sys.executable, "-m", "gunicorn", "wsgi:app")
# An empty variable counts as not set, and takes precedence over a .env file.
_NAMES = """API_TOKEN API_TOKEN_FILE DATABASE_POOL_SIZE DATABASE_PREPARED_STATEMENTS
DATABASE_REPLICA_URL DATABASE_REPLICA_URL_FILE DATABASE_URL_FILE GITHUB_TOKEN GITHUB_TOKEN_FILE
HOST LOG_FORMAT LOG_LEVEL TRUSTED_HOSTS"""
UNSET = dict.fromkeys(_NAMES.split(), "")
PATIENCE = 20  # seconds
SHARED = "TESTS_SHARED_FOLDER"  # the variable with a folder for all pytest workers

CUT = 0  # the status of a request whose connection ended without a response
RETRY_DELAY = 0.02  # seconds
SLACK = 16  # descriptors more than before: a worker that is used for the first time opens some
INTERNALS = re.compile(
    r"SELECT|INSERT|UPDATE|DELETE|Traceback|psycopg|peewee|FATAL|line \d|\.py|\w/\w"
)


@dataclass
class Service:
    """A process that leads a group of its own, and serves HTTP."""

    process: subprocess.Popen[bytes]
    port: int
    output: Path

    @property
    def log(self) -> str:
        return self.output.read_text()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            url = f"http://127.0.0.1:{self.port}{path}"
            return session.request(method, url, timeout=PATIENCE, **options)

    def post(self, repository: str, **options: Any) -> requests.Response:
        return self.call("POST", "/tasks", json={"title": "t", "repository": repository}, **options)

    def answers(self, path: str = "/health/live", status: int = 200) -> bool:
        """Return whether a GET gets this status; fail if the process has ended."""
        assert self.process.poll() is None, self.log
        try:
            return self.call("GET", path).status_code == status
        except requests.ConnectionError:
            return False

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, SIGINT to the whole group as Ctrl-C does; return the exit code."""
        send = os.killpg if number == signal.SIGINT else os.kill
        send(self.process.pid, number)
        return self.process.wait(PATIENCE)


@contextmanager
def started(
    command: Sequence[str],
    environment: dict[str, str],
    output: Path,
    folder: Path = ROOT,
    port: int | None = None,
) -> Iterator[Service]:
    """Start a command on a free port; kill all its processes after the block."""
    port = port or free_port()
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"WEB_CONCURRENCY": "2", **UNSET, **environment, "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Service(process, port, output)
    finally:
        for left in members(process.pid, output.parent):
            left.kill()
        process.wait(PATIENCE)


@contextmanager
def served(
    environment: dict[str, str],
    output: Path,
    command: Sequence[str] = GUNICORN,
    port: int | None = None,
) -> Iterator[Service]:
    """Start the service with gunicorn, and wait until it responds."""
    with started(command, environment, output, port=port) as service:
        wait_for(service.answers)
        yield service


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def members(group: int, folder: Path) -> list[psutil.Process]:
    """Return the running processes of a group, and those whose command line names the folder."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error, ProcessLookupError):
            named = any(str(folder) in word for word in process.cmdline())
            if named or os.getpgid(process.pid) == group:
                found.append(process)
    return [process for process in found if is_alive(process)]


def is_alive(process: psutil.Process) -> bool:
    """Return whether a process runs; it may end between two looks."""
    with suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def nothing_left(service: Service) -> bool:
    return not members(service.process.pid, service.output.parent)


def copy_project(target: Path) -> Path:
    """Copy the service to a folder with nothing else in it."""
    shutil.copytree(ROOT / "tracker", target / "tracker")  # what is compiled need not be again
    for name in ("gunicorn.conf.py", "wsgi.py"):
        shutil.copy(ROOT / name, target)
    return target


class Answer(NamedTuple):
    """The outcome of a request."""

    ended: float  # by time.monotonic()
    seconds: float
    request: str  # method and path
    status: int


@dataclass
class Load:
    """The responses that the clients of a load have received."""

    answers: list[Answer] = field(default_factory=list)
    created: set[str] = field(default_factory=set)  # titles of the acknowledged tasks
    done: set[str] = field(default_factory=set)  # titles of those with an acknowledged change
    refusals: set[str] = field(default_factory=set)  # messages of the failed responses
    unclear: list[str] = field(default_factory=list)  # responses that say too little or too much
    patience: float = PATIENCE  # seconds until a client fails the test

    def seen(self) -> dict[int, int]:
        """Return the number of responses by status."""
        return dict(sorted(Counter(answer.status for answer in self.answers).items()))

    def recovery(self, since: float, until: float = math.inf) -> float:
        """Return the seconds from a moment to the last failure, or to the first success."""
        answers = [a for a in self.answers if since <= a.ended <= until]
        failed = [a.ended - since for a in answers if not 200 <= a.status < 300]
        succeeded = [a.ended - since for a in answers if 200 <= a.status < 300]
        return max(*failed, min(succeeded, default=math.inf), 0.0)

    def look_at(self, response: requests.Response) -> None:
        """Record a response that is neither a success nor a clear refusal."""
        if 200 <= response.status_code < 300:
            return
        clear = response.status_code == 503 and int(response.headers.get("Retry-After", 0)) > 0
        body = response.json() if "json" in response.headers["Content-Type"] else {}
        self.refusals.add(str(body.get("message")))
        shape = {"code", "status", "message"}
        if not clear or {*body} - {"reason"} != shape or INTERNALS.search(response.text):
            self.unclear.append(f"{response.status_code} {response.headers} {response.text[:300]}")

    def slowest(self) -> float:
        """Return the seconds of the slowest request."""
        return max((answer.seconds for answer in self.answers), default=0.0)

    def goes_on(self, times: int = 20) -> None:
        """Wait until so many more tasks are acknowledged."""
        wanted = len(self.created) + times
        wait_for(lambda: len(self.created) >= wanted)


@contextmanager
def load(
    service: Service,
    clients: int = 8,
    repository: str = "pallets/flask",
    patience: float = PATIENCE,
) -> Iterator[Load]:
    """Run clients that create, read, edit and list tasks until the block ends.

    Each client keeps its connection, retries a failed request until it succeeds, a creation with
    its Idempotency-Key, and completes its last round.
    """
    found, stopped = Load(patience=patience), threading.Event()
    work = (service, repository, found, stopped)
    threads = [threading.Thread(target=_work, args=work) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield found
    finally:
        stopped.set()
        for thread in threads:
            thread.join(2 * PATIENCE)
    assert not any(thread.is_alive() for thread in threads)


def _work(service: Service, repository: str, found: Load, stopped: threading.Event) -> None:
    with requests.Session() as session:
        session.trust_env = False

        def send(
            method: str, path: str, accepted: Collection[int] = (), **options: Any
        ) -> requests.Response:
            deadline = time.monotonic() + found.patience
            while True:
                started = time.monotonic()
                status = CUT
                with suppress(requests.RequestException):
                    url = f"http://127.0.0.1:{service.port}{path}"
                    response = session.request(method, url, timeout=PATIENCE, **options)
                    status = response.status_code
                    if status not in accepted:
                        found.look_at(response)
                ended = time.monotonic()
                found.answers.append(Answer(ended, ended - started, f"{method} {path}", status))
                if 200 <= status < 300 or status in accepted:
                    return response
                assert ended < deadline, found.answers[-1]
                time.sleep(RETRY_DELAY)

        while not stopped.is_set():
            title = uuid.uuid4().hex
            body = {"title": title, "repository": repository}
            task = send("POST", "/tasks", json=body, headers={"Idempotency-Key": title}).json()
            found.created.add(title)
            path = f"/tasks/{task['id']}"
            version = {"If-Match": send("GET", path).headers["ETag"]}
            change = send("PATCH", path, (412,), json={"status": "done"}, headers=version)
            if change.status_code == 412:  # it was repeated, and had been committed
                changed = send("GET", path).json()
                assert (changed["status"], changed["version"]) == ("done", 2), changed
            found.done.add(title)
            send("GET", "/tasks?limit=10")


def lost_and_doubled(found: Load, database_url: str) -> tuple[int, int]:
    """Count the acknowledged writes that are missing, and those that were executed twice.

    A change that was executed twice would have left the task at version 3.
    """
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT title, status, version FROM tasks")
        rows = cursor.fetchall()
    stored = Counter(title for title, _, _ in rows)
    changed = {title for title, status, _ in rows if status == "done"}
    lost = found.created - stored.keys() | found.done - changed
    twice = {title for title, number in stored.items() if number > 1}
    twice |= {title for title, _, version in rows if version > 2}
    return len(lost), len(twice & found.created)


class Held(NamedTuple):
    """Resources that the service's workers hold."""

    connections: int  # to the database
    descriptors: int  # open files and sockets

    @classmethod
    def now(cls, service: Service, database_url: str) -> "Held":
        return cls(connections(database_url), descriptors(service))

    @classmethod
    def lasting(cls, service: Service, database_url: str) -> "Held":
        """Return what the workers hold, with the least descriptors of a second: a leak stays."""
        looks = []
        for _ in range(10):
            looks.append(descriptors(service))
            time.sleep(0.1)
        return cls(connections(database_url), min(looks))


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
    statuses: Collection[int] = (200, 201, 412, 503),
    pool: int = 2 * 10,
) -> None:
    """Report the effect of a fault, and compare it with what the service promises."""
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


def fill(database_url: str, tasks: int, size: int) -> None:
    """Store tasks without metadata, whose descriptions have this number of characters."""
    with closing(psycopg2.connect(database_url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(
            "INSERT INTO tasks (title, description, status, priority, tags, repository,"
            " metadata_status) SELECT 'x', repeat('-', %s), 'open', 'normal', '{}', 'a/b',"
            " 'pending' FROM generate_series(1, %s)",
            (size, tasks),
        )


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
    """Return gunicorn's workers."""
    return psutil.Process(service.process.pid).children()


def descriptors(service: Service) -> int:
    """Count the open files and sockets of all workers."""
    count = 0
    for worker in workers(service):
        with suppress(psutil.Error):  # it has just been killed
            count += worker.num_fds()
    return count


def next_url(response: Any) -> str | None:
    """Return the URL of the next page of a list, which `Link` has if there is one."""
    found = re.search('<([^>]*)>; rel="next"', response.headers.get("Link", ""))
    return found and found[1]
