"""Reads from a streaming standby: what a client reads there, and what happens when it fails."""

import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import psycopg2
import psycopg2.extensions
import pytest

from helpers import ROOT, Service, fill, free_port, load, lost_and_doubled, served, wait_for
from hurt import DATABASE, execute, postmaster, server_url, start, stop, suspended
from streaming import OPTIONS, replicated
from tracker.config import Settings
from tracker.database import migrations, standby
from tracker.database.connection import configure, connection, database
from tracker.database.driver import CONNECT_TIMEOUT
from tracker.database.standby import prefer_standby
from tracker.errors import DatabaseUnavailable
from tracker.postgres import server as embedded
from tracker.tasks.export import export_batches
from tracker.tasks.lists import list_tasks

pytestmark = pytest.mark.cluster

QUERY: dict[str, Any] = {
    "filters": {},
    "sort": "-created_at",
    "limit": 30,
    "cursor": None,
    "total": False,
}
SCANS = (
    "SELECT coalesce(sum(seq_scan + idx_scan), 0) FROM pg_stat_user_tables WHERE relname = 'tasks'"
)
MARGIN = 2.0  # seconds


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Path]]:
    """The data folders of a primary and its standby, which only a test restarts."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "WATCH_INTERVAL", 3600)
        with replicated(tmp_path_factory.mktemp("replicated")) as folders:
            yield folders


@pytest.fixture
def urls(servers: tuple[Path, Path]) -> Iterator[tuple[str, str]]:
    """The URLs of a database on the primary, with the schema, and of its copy."""
    primary = servers[0]
    start(primary)
    execute(server_url(primary), f"CREATE DATABASE {DATABASE}")
    found = [psycopg2.extensions.make_dsn(server_url(f), dbname=DATABASE) for f in servers]
    migrations.upgrade(Settings(database_url=found[0]))
    yield found[0], found[1]
    execute(server_url(primary), f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def used(urls: tuple[str, str]) -> Iterator[Settings]:
    """Settings with the standby, which is in use in this process."""
    settings = Settings(database_url=urls[0], database_replica_url=urls[1])
    with configured(settings):
        wait_for(reads_on_standby)
        yield settings


@pytest.fixture
def service(
    environment: dict[str, str], urls: tuple[str, str], tmp_path: Path
) -> Iterator[Service]:
    """A service with two workers that both use the standby."""
    environment |= {"DATABASE_URL": urls[0], "DATABASE_REPLICA_URL": urls[1]}
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: bool(service.call("GET", "/tasks")) and in_use(service) == 2)
        yield service


@contextmanager
def configured(settings: Settings) -> Iterator[None]:
    configure(settings)
    standby.configure(settings)
    try:
        yield
    finally:
        standby.configure(replace(settings, database_replica_url=None))
        database.close_idle()


def in_use(service: Service) -> int:
    """Return how often a worker has begun to use the standby."""
    return service.log.count("Standby is used for reads")


def lists_new_task(service: Service) -> bool:
    """Create a task; return whether the next list has it."""
    task = service.post("pallets/flask").json()
    response = service.call("GET", f"/tasks?updated_since={task['updated_at']}&limit=100")
    return task["id"] in {each["id"] for each in response.json()}


@prefer_standby
def reads_on_standby() -> bool:
    with connection():
        (is_standby,) = database.execute_sql("SELECT pg_is_in_recovery()").fetchone()
        return bool(is_standby)


def backends(url: str) -> list[psutil.Process]:
    return [psutil.Process(pid) for (pid,) in execute(url, "SELECT pid FROM pg_stat_activity")]


@contextmanager
def stopped(primary: str, copy: Path) -> Iterator[None]:
    stop(copy)
    yield
    with embedded.running(copy, OPTIONS):
        pass


@contextmanager
def silent(primary: str, copy: Path) -> Iterator[None]:
    with suspended(postmaster(copy), *postmaster(copy).children()):
        yield


@contextmanager
def lagging(primary: str, copy: Path) -> Iterator[None]:
    execute(server_url(copy), "SELECT pg_wal_replay_pause()")
    yield
    execute(server_url(copy), "SELECT pg_wal_replay_resume()")


@contextmanager
def setting(url: str, name: str, value: str) -> Iterator[None]:
    """Change a setting of a server for the block."""
    for statement in (f"ALTER SYSTEM SET {name} = {value}", "SELECT pg_reload_conf()"):
        execute(url, statement)
    wait_for(lambda: execute(url, f"SHOW {name}") == [(value.strip("'"),)])
    yield
    for statement in (f"ALTER SYSTEM RESET {name}", "SELECT pg_reload_conf()"):
        execute(url, statement)


def test_a_read_has_each_acknowledged_write_of_any_process(
    service: Service, urls: tuple[str, str]
) -> None:
    scans = execute(urls[1], SCANS)
    lag = setting(urls[1], "recovery_min_apply_delay", "'20ms'")
    with lag, ThreadPoolExecutor(6) as clients:
        assert all(clients.map(lambda _: lists_new_task(service), range(120)))
    wait_for(lambda: execute(urls[1], SCANS) > scans)


@pytest.mark.parametrize("hurt", [stopped, silent, lagging])
def test_a_standby_that_fails_costs_no_client_an_error(
    service: Service,
    servers: tuple[Path, Path],
    urls: tuple[str, str],
    hurt: Callable[..., Any],
    report: Callable[..., None],
) -> None:
    with load(service) as found:
        found.goes_on()
        with hurt(urls[0], servers[1]):
            began = time.monotonic()
            found.goes_on(200)
            assert service.answers("/health/ready")
            assert lists_new_task(service)
            assert "Standby is set aside" in service.log
            times_used = in_use(service)
        wait_for(lambda: in_use(service) > times_used)
        found.goes_on()
    slowest = found.slowest()
    lost = lost_and_doubled(found, urls[0])
    report(f"standby {hurt.__name__}", seen=found.seen(), slowest=f"{slowest:.1f} s", lost=lost[0])
    assert found.seen().keys() <= {200, 201}
    assert lost == (0, 0)
    assert slowest < CONNECT_TIMEOUT + MARGIN
    late = [a for a in found.answers if a.ended > began + CONNECT_TIMEOUT + MARGIN]
    assert all(answer.seconds < MARGIN for answer in late)


def test_a_read_that_the_standby_cancels_runs_on_the_primary(
    used: Settings, urls: tuple[str, str]
) -> None:
    fill(urls[0], 1, 10)
    seen = []

    @prefer_standby
    def read() -> bool:
        with connection():
            (on_standby,) = database.execute_sql("SELECT pg_is_in_recovery()").fetchone()
            seen.append(on_standby)
            if on_standby:
                database.execute_sql("SELECT pg_sleep(2), id FROM tasks")
            return bool(on_standby)

    sleeping = "SELECT pid FROM pg_stat_activity WHERE wait_event = 'PgSleep'"
    with ThreadPoolExecutor() as thread:
        wait_for(reads_on_standby)
        running = thread.submit(read)
        wait_for(lambda: bool(execute(urls[1], sleeping)))
        with closing(psycopg2.connect(urls[0])) as other:
            other.cursor().execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
            execute(urls[0], "SELECT pg_switch_wal()")
            wait_for(lambda: not execute(urls[1], sleeping))
        assert running.result() is False
    assert seen == [True, False]
    standby.configure(replace(used, database_replica_url=None))  # closed sessions send statistics
    conflicts = f"SELECT confl_lock FROM pg_stat_database_conflicts WHERE datname = '{DATABASE}'"
    wait_for(lambda: execute(urls[1], conflicts)[0][0] > 0)


def test_more_reads_than_connections_go_to_the_primary(used: Settings) -> None:
    with configured(replace(used, database_pool_size=1)):
        wait_for(reads_on_standby)

        @prefer_standby
        def outer() -> bool:
            with ThreadPoolExecutor() as thread:
                return thread.submit(reads_on_standby).result()

        assert outer() is False
        assert reads_on_standby()


def test_a_server_that_is_no_standby_is_never_used(
    urls: tuple[str, str], database_url: str
) -> None:
    for url, reason in {
        urls[0]: "is no standby",
        database_url: "is no copy of the primary's database",
        f"postgresql://127.0.0.1:{free_port()}/none": "can't be reached",
    }.items():
        with configured(Settings(database_url=urls[0], database_replica_url=url)):
            assert not reads_on_standby()
            assert standby.standby
            with pytest.raises(DatabaseUnavailable, match=reason):
                standby.standby.check()
            assert not reads_on_standby()


def test_doctor_says_that_the_standby_keeps_up(
    environment: dict[str, str], urls: tuple[str, str]
) -> None:
    environment |= {"DATABASE_URL": urls[0], "DATABASE_REPLICA_URL": urls[1]}
    done = subprocess.run(
        [sys.executable, "-m", "flask", "doctor"], cwd=ROOT, env=environment, capture_output=True
    )
    assert b"ok    standby: keeps up with the primary\n" in done.stdout


def test_an_export_comes_from_a_standby_that_sends_feedback(
    used: Settings, urls: tuple[str, str]
) -> None:
    fill(urls[0], 60, 10)
    cursors = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'FETCH%'"
    for feedback, serving in (("on", urls[1]), ("off", urls[0])):
        with setting(urls[1], "hot_standby_feedback", feedback):
            batches = export_batches(used, {})
            next(batches)
            assert execute(serving, cursors)
            assert 25 + sum(map(len, batches)) == 60


def test_a_list_reads_from_the_standby(used: Settings, urls: tuple[str, str]) -> None:
    fill(urls[0], 3, 10)
    before = execute(urls[0], SCANS)
    assert len(list_tasks(QUERY).rows) == 3
    database.close_idle()  # statistics are sent at the end of a session
    assert execute(urls[0], SCANS) == before


def test_a_promoted_standby_is_no_longer_read(tmp_path: Path) -> None:
    with replicated(tmp_path) as (primary, copy):
        urls = [server_url(folder) for folder in (primary, copy)]
        migrations.upgrade(Settings(database_url=urls[0]))
        with configured(Settings(database_url=urls[0], database_replica_url=urls[1])):
            wait_for(reads_on_standby)
            execute(urls[1], "SELECT pg_promote()")
            fill(urls[0], 2, 10)
            assert len(list_tasks(QUERY).rows) == 2
            execute(urls[1], "DELETE FROM tasks")
            assert len(list_tasks(QUERY).rows) == 2
