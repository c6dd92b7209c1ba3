"""PostgreSQL stops, dies, hangs and refuses under load; nothing that was acknowledged is lost."""

import time
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg2
import psycopg2.extensions
import pytest

from helpers import (
    Held,
    Load,
    Service,
    connections,
    descriptors,
    judge,
    load,
    served,
    wait_for,
    workers,
)
from tracker.config import Settings
from tracker.database import migrations
from tracker.database.connection import LOCK_TIMEOUT, POOL_TIMEOUT, STATEMENT_TIMEOUT
from tracker.database.pool import CONNECT_TIMEOUT, RESPONSE_TIMEOUT
from tracker.postgres import server as embedded
from tracker.postgres.binaries import run

pytestmark = pytest.mark.failure

DATABASE = "hurt"
OURS = f"application_name = 'github-task-tracker' AND datname = '{DATABASE}'"
SLOW = (
    "connections terminated",
    "one of the server's processes killed",
    "pool exhausted",
    "server restarted with no goodbye",
    "statement that runs too long",
)
MARGIN = 2.0  # seconds for all that a request does besides waiting for PostgreSQL


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a server to hurt, which nobody starts again but the test."""
    folder = tmp_path_factory.mktemp("own") / "postgres"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "WATCH_INTERVAL", 3600)
        with embedded.running(folder):
            yield folder


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    """A database on that server, with the schema in it."""
    start(folder)
    execute(server(folder), f"CREATE DATABASE {DATABASE}")
    url = psycopg2.extensions.make_dsn(server(folder), dbname=DATABASE)
    migrations.upgrade(Settings(database_url=url))
    yield url
    start(folder)
    execute(server(folder), f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def environment(environment: dict[str, str], url: str) -> dict[str, str]:
    """The environment of a service that uses that database, and opens no files besides."""
    return {**environment, "DATABASE_URL": url, "GITHUB_CACHE": "memory"}


def server(folder: Path) -> str:
    return str(psycopg2.extensions.make_dsn(**embedded.connection_parameters(folder)))


def execute(url: str, statement: str) -> list[Any]:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(statement)
        return cursor.fetchall() if cursor.description else []


def answers(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


def start(folder: Path) -> None:
    """Start the server if it does not run; the fixture keeps it running."""
    with embedded.running(folder):
        pass


def stop(folder: Path) -> None:
    run(folder, "pg_ctl", "stop", "--mode=fast", "--wait")


def postmaster(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))


def backends(folder: Path) -> list[psutil.Process]:
    """Find the server's processes for the service's connections, the last one used first."""
    rows = execute(
        server(folder), f"SELECT pid FROM pg_stat_activity WHERE {OURS} ORDER BY state_change DESC"
    )
    return [psutil.Process(pid) for (pid,) in rows]


def restart_fast(folder: Path) -> None:
    run(folder, "pg_ctl", "restart", "--mode=fast", "--wait", "--log=server.log")


def restart_immediately(folder: Path) -> None:
    run(folder, "pg_ctl", "restart", "--mode=immediate", "--wait", "--log=server.log")


def kill_postmaster(folder: Path) -> None:
    postmaster(folder).kill()
    wait_for(lambda: not answers(server(folder)))
    start(folder)


def kill_backend(folder: Path) -> None:
    with closing(psycopg2.connect(server(folder))) as witness:
        backends(folder)[0].kill()
        # PostgreSQL ends all connections then, and recovers by itself.
        with pytest.raises(psycopg2.DatabaseError):
            witness.cursor().execute("SELECT pg_sleep(20)")
    wait_for(lambda: answers(server(folder)))


def terminate(folder: Path) -> None:
    execute(server(folder), f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE {OURS}")


def named(faults: Collection[str]) -> list[Any]:
    """Make parameters of the faults, with the marker of those that take their time."""
    return [pytest.param(f, marks=pytest.mark.slow if f in SLOW else ()) for f in faults]


BLOWS: dict[str, tuple[Callable[[Path], None], int]] = {
    "connections terminated": (terminate, 5),
    "server restarted": (restart_fast, 3),
    "server restarted with no goodbye": (restart_immediately, 2),
    "server killed, and started again": (kill_postmaster, 2),
    "one of the server's processes killed": (kill_backend, 2),
}


@pytest.mark.parametrize("fault", named(BLOWS))
def test_a_blow_under_load_loses_and_doubles_nothing(
    environment: dict[str, str],
    folder: Path,
    url: str,
    tmp_path: Path,
    report: Callable[..., None],
    fault: str,
) -> None:
    strike, tries = BLOWS[fault]
    recoveries = []
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        with load(service) as found:
            found.goes_on()
            before = Held.now(service, url)
            for _ in range(tries):
                strike(folder)
                returned = time.monotonic()
                time.sleep(0.5)
                recoveries.append((returned, time.monotonic()))
            found.goes_on()
            after = Held.now(service, url)
    judge(
        report,
        fault,
        found,
        url,
        tries=tries,
        recovery=max(
            found.recovery(returned),
            *(found.recovery(since, until) for since, until in recoveries[:-1]),
        ),
        before=before,
        after=after,
    )


def read(service: Service, path: str, found: Load) -> tuple[int, float]:
    """Read a task, and tell the status and the seconds that it took."""
    answer = service.call("GET", path)
    found.look_at(answer)
    return answer.status_code, answer.elapsed.total_seconds()


class Lack(NamedTuple):
    """What is not there when the service starts."""

    take: Callable[[Path, str], None]
    mend: Callable[[Path, str], None]
    message: str


def take_back(number: int) -> Callable[[Path, str], None]:
    """Take back the migrations from this one on."""

    def down(folder: Path, url: str) -> None:
        name = sorted(path.stem for path in migrations.FOLDER.glob("[0-9]*.py"))[number - 1]
        with migrations._runner(Settings(database_url=url)) as runner:
            runner.down(name)

    return down


def upgrade(folder: Path, url: str) -> None:
    assert migrations.upgrade(Settings(database_url=url))


LACKS = {
    "server absent at the start": Lack(
        lambda folder, url: stop(folder), lambda folder, url: start(folder), "can't be reached"
    ),
    "schema missing": Lack(take_back(1), upgrade, "flask db init"),
    "schema behind by a column": Lack(take_back(2), upgrade, "flask db init"),
    "schema behind by a table": Lack(take_back(3), upgrade, "flask db init"),
}


@pytest.mark.parametrize("fault", LACKS)
def test_what_is_lacking_is_told_and_used_once_it_is_there(
    environment: dict[str, str],
    folder: Path,
    url: str,
    tmp_path: Path,
    report: Callable[..., None],
    fault: str,
) -> None:
    lack = LACKS[fault]
    lack.take(folder, url)
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        with load(service, clients=4) as found:
            wait_for(lambda: found.seen().get(503, 0) >= 8)
            answer = service.call("GET", "/health/ready")
            assert answer.status_code == 503
            assert lack.message in answer.json()["message"]
            found.look_at(answer)
            assert not found.created
            before = Held(connections(url) if answers(url) else 0, descriptors(service))
            lack.mend(folder, url)
            mended = time.monotonic()
            found.goes_on()
            assert service.answers("/health/ready")
            after = Held.now(service, url)
    judge(
        report,
        fault,
        found,
        url,
        tries=1,
        recovery=found.recovery(mended),
        before=before,
        after=after,
    )


class Hindrance(NamedTuple):
    """What keeps PostgreSQL from doing what it is asked, while others may still read."""

    hinder: Callable[[Path, str], AbstractContextManager[None]]
    message: str
    least: float = 0.0  # seconds that a write is tried for
    threads: int = 16


@contextmanager
def locked(folder: Path, url: str) -> Iterator[None]:
    """Hold a lock that lets others read."""
    with closing(psycopg2.connect(url)) as other:
        other.cursor().execute("LOCK TABLE tasks IN SHARE ROW EXCLUSIVE MODE")
        yield


@contextmanager
def slowed(folder: Path, url: str) -> Iterator[None]:
    """Have every write to a task take long."""
    function = "CREATE OR REPLACE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
    execute(url, f"{function} 'BEGIN PERFORM pg_sleep(60); RETURN NEW; END'")
    execute(
        url,
        "CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON tasks FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    yield
    execute(url, f"{function} 'BEGIN RETURN NEW; END'")
    sleeping = f"FROM pg_stat_activity WHERE {OURS} AND wait_event = 'PgSleep'"
    execute(url, f"SELECT pg_cancel_backend(pid) {sleeping}")
    wait_for(lambda: not execute(url, f"SELECT {sleeping}"))


@contextmanager
def read_only(folder: Path, url: str) -> Iterator[None]:
    execute(server(folder), f"ALTER DATABASE {DATABASE} SET default_transaction_read_only = on")
    terminate(folder)
    yield
    execute(server(folder), f"ALTER DATABASE {DATABASE} RESET default_transaction_read_only")


HINDRANCES = {
    "lock held by someone else": Hindrance(locked, "lock in time", LOCK_TIMEOUT / 1000),
    "pool exhausted": Hindrance(locked, "connections are busy", POOL_TIMEOUT, threads=2),
    "read-only": Hindrance(read_only, "read-only"),
    "statement that runs too long": Hindrance(slowed, "answer in time", STATEMENT_TIMEOUT / 1000),
}


@pytest.mark.parametrize("fault", named(HINDRANCES))
def test_a_hindered_write_is_refused_in_time_and_reads_go_on(
    environment: dict[str, str],
    folder: Path,
    url: str,
    tmp_path: Path,
    report: Callable[..., None],
    fault: str,
) -> None:
    hindrance = HINDRANCES[fault]
    environment = {**environment, "DATABASE_POOL_SIZE": str(hindrance.threads)}
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        path = service.post("pallets/flask").headers["Location"]
        # So many that in one worker at least some wait longer than a lock is waited for.
        with load(service, clients=8 if hindrance.threads == 16 else 16) as found:
            found.goes_on()
            before = Held.now(service, url)
            reads = []
            with hindrance.hinder(folder, url):
                began = time.monotonic()
                while not any(hindrance.message in refusal for refusal in found.refusals):
                    assert time.monotonic() - began < RESPONSE_TIMEOUT + MARGIN
                    if hindrance.threads == 16:
                        reads.append(read(service, path, found))
                    time.sleep(0.05)
                first = time.monotonic() - began
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
        pool=2 * hindrance.threads,
    )
    assert hindrance.least * 0.9 <= first < hindrance.least + CONNECT_TIMEOUT + MARGIN
    assert {status for status, _ in reads} <= {200}
    assert all(seconds < MARGIN for _, seconds in reads)


@contextmanager
def stopped(*processes: psutil.Process) -> Iterator[None]:
    try:
        for process in processes:
            process.suspend()
        yield
    finally:
        for process in processes:
            process.resume()


@contextmanager
def one_backend_stopped(folder: Path) -> Iterator[None]:
    with stopped(backends(folder)[0]):
        yield


@contextmanager
def postmaster_stopped(folder: Path) -> Iterator[None]:
    """Have the server take no new connection, where those that there were have ended."""
    first = backends(folder)
    with stopped(postmaster(folder)):
        for backend in first:
            backend.terminate()
        yield


@contextmanager
def all_stopped(folder: Path) -> Iterator[None]:
    with stopped(postmaster(folder), *backends(folder)):
        yield


HANGS: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
    "one of the server's processes hangs": one_backend_stopped,
    "server takes no connections": postmaster_stopped,
    "server hangs": all_stopped,
}


def fill_pool(folder: Path, url: str, service: Service, path: str) -> None:
    """Have many requests at once, each with a connection, which stay in the pool after it."""
    with ThreadPoolExecutor(16) as threads:
        with locked(folder, url):
            changes = [
                threads.submit(service.call, "PATCH", path, json={"status": "in_progress"})
                for _ in range(16)
            ]
            wait_for(lambda: connections(url) >= 16)
    assert {change.result().status_code for change in changes} <= {200, 503}


@pytest.mark.slow
@pytest.mark.parametrize("fault", HANGS)
def test_a_server_that_hangs_holds_no_request_for_long(
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
        assert {status for status, _ in reads} == {200}
        assert found.slowest() >= RESPONSE_TIMEOUT  # somebody did ask it


@pytest.mark.slow
@pytest.mark.parametrize("method", ["POST", "PATCH", "DELETE"])
def test_a_write_that_a_hanging_server_did_not_answer_is_not_made_later(
    environment: dict[str, str], folder: Path, url: str, tmp_path: Path, method: str
) -> None:
    def write() -> int:
        if method == "POST":
            return service.post("pallets/flask").status_code
        body = {"json": {"title": "Later"}} if method == "PATCH" else {}
        return service.call(method, paths.pop(), **body).status_code

    environment = {**environment, "WEB_CONCURRENCY": "1"}
    with served(environment, tmp_path / "output") as service:
        paths = [service.post("pallets/flask").headers["Location"] for _ in range(2)]
        assert write() < 300  # the statement is prepared, on the one connection that there is
        before = execute(url, "SELECT json FROM tasks ORDER BY id")
        with all_stopped(folder):
            assert write() == 503
        wait_for(lambda: connections(url) == 0)  # the server has read what had been sent to it
        assert execute(url, "SELECT json FROM tasks ORDER BY id") == before
