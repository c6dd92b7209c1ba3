"""The service's processes are killed, stopped and started; no acknowledged write is lost."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import psutil
import psycopg2
import psycopg2.extensions
import pytest

from helpers import (
    CUT,
    Held,
    judge,
    load,
    members,
    nothing_left,
    served,
    wait_for,
    workers,
)
from tracker.demo.github import Fault, GitHub
from tracker.postgres import server as embedded

pytestmark = pytest.mark.failure

STATUSES = (CUT, 200, 201, 412, 503)
# The commit of each new task takes a while, so that a killed worker has most likely stored one.
LATE = """
    CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION late()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A new data folder."""
    return tmp_path / "postgres"


@pytest.fixture
def url(folder: Path) -> str:
    """The URL of that database while its server runs."""
    return str(psycopg2.extensions.make_dsn(**embedded.connection_parameters(folder)))


def postmaster(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))


def replaced(first: psutil.Process, folder: Path) -> bool:
    try:
        return postmaster(folder) != first
    except (OSError, IndexError, psutil.Error):  # none runs now
        return False


def accepts(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


@pytest.mark.slow
def test_a_killed_worker_is_replaced_and_its_requests_are_retried(
    embedded_environment: dict[str, str], url: str, tmp_path: Path, report: Callable[..., None]
) -> None:
    tries, recoveries = 4, []
    with served({**embedded_environment, "GITHUB_TIMEOUT": "1"}, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        with closing(psycopg2.connect(url)) as connection, connection:
            connection.cursor().execute(LATE)
        with load(service) as found:
            found.goes_on()
            before = Held.now(service, url)
            for _ in range(tries):
                victim = workers(service)[0]
                victim.kill()
                killed = time.monotonic()
                wait_for(
                    lambda victim=victim: (  # type: ignore[misc]
                        victim not in workers(service) and len(workers(service)) == 2
                    )
                )
                found.goes_on(4)
                recoveries.append((killed, time.monotonic()))
            found.goes_on()
            after = Held.now(service, url)
        judge(
            report,
            "worker killed during requests",
            found,
            url,
            tries=tries,
            recovery=max(
                found.recovery(killed),
                *(found.recovery(since, until) for since, until in recoveries[:-1]),
            ),
            before=before,
            after=after,
            statuses=STATUSES,
        )
    assert found.seen()[CUT] > 0


@pytest.mark.slow
def test_sigterm_lets_requests_in_progress_finish(
    environment: dict[str, str], tmp_path: Path, github: GitHub, report: Callable[..., None]
) -> None:
    url = environment["DATABASE_URL"]
    names = [name for name in github.repositories if name != "pallets/flask"][:4]
    with ExitStack() as stack:
        service = stack.enter_context(served(environment, tmp_path / "output"))
        wait_for(lambda: len(workers(service)) == 2)
        threads = stack.enter_context(ThreadPoolExecutor(len(names)))
        with load(service, clients=4) as found:
            found.goes_on()
            before = Held.now(service, url)
            github.fault = Fault(delay=1.0)
            waiting = [threads.submit(service.post, name) for name in names]
            time.sleep(0.5)
            assert service.end() == 0
            github.fault = None
            assert "Traceback" not in service.log
            assert {response.result().status_code for response in waiting} == {201}
            again = stack.enter_context(served(environment, tmp_path / "again", port=service.port))
            served_again = time.monotonic()
            wait_for(lambda: len(workers(again)) == 2)
            found.goes_on()
            after = Held.now(again, url)
        judge(
            report,
            "master ended by SIGTERM, and started again",
            found,
            url,
            tries=1,
            recovery=found.recovery(served_again),
            before=before,
            after=after,
            statuses=STATUSES,
        )


@pytest.mark.slow
def test_all_processes_killed_at_once_lose_nothing(
    embedded_environment: dict[str, str],
    folder: Path,
    url: str,
    tmp_path: Path,
    report: Callable[..., None],
) -> None:
    with ExitStack() as stack:
        service = stack.enter_context(served(embedded_environment, tmp_path / "output"))
        wait_for(lambda: len(workers(service)) == 2)
        with load(service, clients=4) as found:
            found.goes_on()
            before = Held.now(service, url)
            all_ = members(service.process.pid, tmp_path)
            all_ += postmaster(folder).children(recursive=True)
            for process in all_:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
            service.process.wait()
            again = stack.enter_context(
                served(embedded_environment, tmp_path / "again", port=service.port)
            )
            served_again = time.monotonic()
            wait_for(lambda: len(workers(again)) == 2)
            found.goes_on()
            after = Held.now(again, url)
        judge(
            report,
            "all processes and the embedded PostgreSQL killed, and started again",
            found,
            url,
            tries=1,
            recovery=found.recovery(served_again),
            before=before,
            after=after,
            statuses=STATUSES,
        )
        assert again.end() == 0
        assert nothing_left(again)


@pytest.mark.slow
def test_a_killed_embedded_server_is_restarted(
    embedded_environment: dict[str, str],
    folder: Path,
    url: str,
    tmp_path: Path,
    report: Callable[..., None],
) -> None:
    tries, recoveries, outages = 2, [], []
    with served(embedded_environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        with load(service, clients=4) as found:
            found.goes_on()
            before = Held.now(service, url)
            for _ in range(tries):
                first = postmaster(folder)
                first.kill()
                killed = time.monotonic()
                wait_for(lambda first=first: replaced(first, folder))  # type: ignore[misc]
                wait_for(lambda: accepts(url))
                returned = time.monotonic()
                outages.append(returned - killed)
                found.goes_on(4)
                recoveries.append((returned, time.monotonic()))
            found.goes_on()
            after = Held.now(service, url)
        judge(
            report,
            f"embedded PostgreSQL killed, and restarted within {max(outages):.1f} s",
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
        # A server that is killed while it starts belongs to the same restart.
        assert 1 <= service.log.count("PostgreSQL has died; restarting it") <= tries
        assert service.end() == 0
        assert nothing_left(service)
