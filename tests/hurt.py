"""Ways to hurt a PostgreSQL server that only a test uses."""

import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import psycopg2.extensions
import pytest

from helpers import Load, Service, wait_for
from tracker.postgres import server as embedded
from tracker.postgres.binaries import run

DATABASE = "hurt"
OURS = f"application_name = 'github-task-tracker' AND datname = '{DATABASE}'"
MARGIN = 2.0  # seconds for everything that a request does besides waiting for PostgreSQL


def server_url(folder: Path) -> str:
    return str(psycopg2.extensions.make_dsn(**embedded.superuser_parameters(folder)))


def execute(url: str, statement: str) -> list[Any]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def accepts(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def start(folder: Path) -> None:
    """Start the server unless it runs; the fixture `folder` keeps it running."""
    with embedded.running(folder):
        pass


def stop(folder: Path) -> None:
    run(folder, "pg_ctl", "stop", "--mode=fast", "--wait")


def postmaster(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))


def backends(folder: Path) -> list[psutil.Process]:
    """Return the server's processes for the service, the most recently used first."""
    query = f"SELECT pid FROM pg_stat_activity WHERE {OURS} ORDER BY state_change DESC"
    return [psutil.Process(pid) for (pid,) in execute(server_url(folder), query)]


def restart_fast(folder: Path) -> None:
    run(folder, "pg_ctl", "restart", "--mode=fast", "--wait", "--log=server.log")


def restart_immediately(folder: Path) -> None:
    run(folder, "pg_ctl", "restart", "--mode=immediate", "--wait", "--log=server.log")


def kill_postmaster(folder: Path) -> None:
    postmaster(folder).kill()
    wait_for(lambda: not accepts(server_url(folder)))
    start(folder)


def kill_backend(folder: Path) -> None:
    with closing(psycopg2.connect(server_url(folder))) as witness:
        backends(folder)[0].kill()
        # PostgreSQL then closes all connections, and recovers by itself.
        with pytest.raises(psycopg2.DatabaseError):
            witness.cursor().execute("SELECT pg_sleep(20)")
    wait_for(lambda: accepts(server_url(folder)))


def terminate_connections(folder: Path) -> None:
    query = f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}"
    execute(server_url(folder), query)


@contextmanager
def locked(folder: Path, url: str) -> Iterator[None]:
    """Hold a lock on the tasks that permits reads."""
    with closing(psycopg2.connect(url)) as other:
        other.cursor().execute("LOCK TABLE tasks IN SHARE ROW EXCLUSIVE MODE")
        yield


@contextmanager
def slowed(folder: Path, url: str) -> Iterator[None]:
    """Delay every write to a task by a minute."""
    function = "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
    trigger = "CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW"
    execute(url, f"{function} 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END'")
    execute(url, f"{trigger} EXECUTE FUNCTION slow()")
    yield
    execute(url, f"{function} 'BEGIN RETURN NEW; END'")
    sleeping = f"FROM pg_stat_activity WHERE {OURS} AND wait_event = 'PgSleep'"
    execute(url, f"SELECT pg_cancel_backend(pid) {sleeping}")
    wait_for(lambda: not execute(url, f"SELECT {sleeping}"))


@contextmanager
def read_only(folder: Path, url: str) -> Iterator[None]:
    setting = "default_transaction_read_only"
    execute(server_url(folder), f"ALTER DATABASE {DATABASE} SET {setting} = on")
    terminate_connections(folder)
    yield
    execute(server_url(folder), f"ALTER DATABASE {DATABASE} RESET {setting}")


@contextmanager
def suspended(*processes: psutil.Process) -> Iterator[None]:
    try:
        for process in processes:
            process.suspend()
        yield
    finally:
        for process in processes:
            process.resume()


@contextmanager
def one_backend_suspended(folder: Path) -> Iterator[None]:
    with suspended(backends(folder)[0]):
        yield


@contextmanager
def postmaster_suspended(folder: Path) -> Iterator[None]:
    """Refuse new connections to the server, and end the existing ones."""
    existing = backends(folder)
    with suspended(postmaster(folder)):
        for backend in existing:
            backend.terminate()
        yield


@contextmanager
def all_suspended(folder: Path) -> Iterator[None]:
    with suspended(postmaster(folder), *backends(folder)):
        yield


def read(service: Service, path: str, found: Load) -> tuple[int, float]:
    """Read a task; return the status and the seconds."""
    started = time.monotonic()
    response = service.call("GET", path)
    found.look_at(response)
    return response.status_code, time.monotonic() - started
