"""The service's own processes die, stop and start in bad company; nothing acknowledged is lost."""

import re
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path

import psutil
import psycopg2
import psycopg2.extensions
import pytest
import requests

from helpers import (
    CUT,
    GUNICORN,
    Held,
    free_port,
    judge,
    load,
    members,
    nothing_left,
    served,
    started,
    wait_for,
    workers,
)
from tracker.demo.github import Fault, GitHub
from tracker.postgres import server as embedded

pytestmark = pytest.mark.failure

STATUSES = (CUT, 200, 201, 503)
# Each new task takes a while to commit, so that most of those who die have their task stored.
LATE = """
    CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_sleep(0.1); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER late AFTER INSERT ON tasks DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION late()
"""
WARNING = "tracker.github.cache: GITHUB_CACHE "


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A data folder to be made."""
    return tmp_path / "postgres"


@pytest.fixture
def embedded_environment(environment: dict[str, str], folder: Path) -> dict[str, str]:
    """An environment with an embedded database in that folder."""
    return {**environment, "DATABASE_URL": f"embedded:{folder}"}


@pytest.fixture
def url(folder: Path) -> str:
    """Where that database is found while its server runs."""
    return str(psycopg2.extensions.make_dsn(**embedded.connection_parameters(folder)))


def postmaster(folder: Path) -> psutil.Process:
    return psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))


def replaced(first: psutil.Process, folder: Path) -> bool:
    try:
        return postmaster(folder) != first
    except (OSError, IndexError, psutil.Error):  # there is none now
        return False


def answers(url: str) -> bool:
    try:
        psycopg2.connect(url).close()
    except psycopg2.OperationalError:
        return False
    return True


@pytest.mark.slow
def test_a_worker_killed_in_mid_request_is_replaced_and_its_requests_repeated(
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
            "worker killed in mid-request",
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
def test_sigterm_under_load_lets_requests_in_flight_finish(
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
            assert {answer.result().status_code for answer in waiting} == {201}
            ended = tmp_path / "ended"
            again = stack.enter_context(served(environment, ended, port=service.port))
            served_again = time.monotonic()
            wait_for(lambda: len(workers(again)) == 2)
            found.goes_on()
            after = Held.now(again, url)
        judge(
            report,
            "master told to end, and started again",
            found,
            url,
            tries=1,
            recovery=found.recovery(served_again),
            before=before,
            after=after,
            statuses=STATUSES,
        )


@pytest.mark.slow
def test_connections_that_clients_hold_open_do_not_delay_the_end(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        service = stack.enter_context(served(environment, tmp_path / "output"))
        wait_for(lambda: len(workers(service)) == 2)
        for _ in range(4):
            session = stack.enter_context(requests.Session())
            session.trust_env = False
            session.get(f"http://127.0.0.1:{service.port}/health/live", timeout=5)
            stack.enter_context(socket.create_connection(("127.0.0.1", service.port)))
        time.sleep(
            6.5
        )  # gunicorn has a thread wait for 5 seconds, and then looks only now and then
        began = time.monotonic()
        assert service.end() == 0
        assert time.monotonic() - began < 5
        assert "Traceback" not in service.log


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
def test_an_embedded_server_killed_alone_comes_back_by_itself(
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
                wait_for(lambda: answers(url))
                returned = time.monotonic()
                outages.append(returned - killed)
                found.goes_on(4)
                recoveries.append((returned, time.monotonic()))
            found.goes_on()
            after = Held.now(service, url)
        judge(
            report,
            f"embedded PostgreSQL killed, and back by itself within {max(outages):.1f} s",
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
        # One that is killed while it is being started belongs to the same start.
        assert 1 <= service.log.count("PostgreSQL has died; starting it again") <= tries
        assert service.end() == 0
        assert nothing_left(service)


@pytest.mark.slow
def test_two_starts_on_one_new_folder_share_it(
    embedded_environment: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    with (
        started(GUNICORN, embedded_environment, tmp_path / "first") as first,
        started(GUNICORN, embedded_environment, tmp_path / "second") as second,
    ):
        for service in (first, second):
            wait_for(service.answers)
        path = first.post("pallets/flask").headers["Location"]
        assert second.call("GET", path).status_code == 200
        assert first.end() == 0
        assert postmaster(folder).is_running()
        assert second.call("GET", path).status_code == 200
        assert second.end() == 0
        assert not members(-1, tmp_path)
        for service in (first, second):
            assert nothing_left(service)
            assert "Traceback" not in service.log


def test_of_two_starts_on_one_port_one_serves_and_the_other_says_why_it_does_not(
    embedded_environment: dict[str, str], folder: Path, tmp_path: Path
) -> None:
    port = free_port()
    with (
        started(GUNICORN, embedded_environment, tmp_path / "first", port=port) as first,
        started(GUNICORN, embedded_environment, tmp_path / "second", port=port) as second,
    ):
        both = [first, second]
        wait_for(lambda: any(service.process.poll() is not None for service in both))
        (ended,) = (service for service in both if service.process.poll() is not None)
        (serving,) = (service for service in both if service is not ended)
        wait_for(serving.answers)
        assert ended.process.returncode == 1
        lines = [line for line in ended.log.splitlines() if " INFO " not in line]
        assert len(lines) == 1, lines
        assert re.fullmatch(rf"error: can't listen on 127\.0\.0\.1:{port} .* PORT", lines[0])
        assert serving.answers("/health/ready")
        assert serving.post("pallets/flask").status_code == 201
        assert serving.end() == 0
        assert nothing_left(serving)
        assert "Traceback" not in serving.log + ended.log


@contextmanager
def mounted(folder: Path, options: str) -> Iterator[None]:
    """Mount a small file system that is kept in memory."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"can't mount a file system here: {error}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path) -> None:
    with suppress(OSError), (folder / "filling").open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 4096)


def corrupt(folder: Path) -> None:
    """Write over all that the cache has stored, while it is open or not."""
    for path in folder.iterdir():
        with path.open("r+b") as file:
            file.write(b"\xff" * max(path.stat().st_size, 4096))


def replace_by_a_folder(folder: Path) -> None:
    for path in folder.iterdir():
        path.unlink()
    (folder / "github.sqlite").mkdir()


def leave_unwritable(folder: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)


# What happens to the cache's folder, whether the service runs by then, and how the folder is made.
DAMAGES: dict[str, tuple[Callable[[Path], None], bool]] = {
    "cache on a full disk at the start": (fill, False),
    "cache's disk full": (fill, True),
    "cache on a disk that is read-only": (leave_unwritable, False),
    "cache file is a folder": (replace_by_a_folder, False),
    "cache file corrupt at the start": (corrupt, False),
    "cache file corrupted": (corrupt, True),
}


@pytest.mark.parametrize("fault", DAMAGES)
def test_a_cache_that_fails_fails_no_request_and_is_told_of_once(
    environment: dict[str, str],
    tmp_path: Path,
    github: GitHub,
    report: Callable[..., None],
    fault: str,
) -> None:
    damage, running = DAMAGES[fault]
    url, folder = environment["DATABASE_URL"], tmp_path / "disk"
    environment = {**environment, "GITHUB_CACHE": str(folder / "github.sqlite")}
    names = [name for name in github.repositories if name != "pallets/flask"][:8]
    with ExitStack() as stack:
        if "disk" in fault:
            stack.enter_context(mounted(folder, "size=512k"))
        else:
            folder.mkdir()
        if not running:
            (folder / "github.sqlite").touch()
            damage(folder)
        environment["WEB_CONCURRENCY"] = "1"  # so that once in each worker is once in the log
        service = stack.enter_context(served(environment, tmp_path / "output"))
        wait_for(lambda: len(workers(service)) == 1)
        assert service.post("pallets/flask").status_code == 201
        with load(service, clients=4) as found:
            found.goes_on()
            before = Held.now(service, url)
            if running:
                assert WARNING not in service.log
                damage(folder)
            damaged = time.monotonic()
            assert {service.post(name).status_code for name in names} == {201}
            assert {service.post(name).status_code for name in names} == {201}
            found.goes_on()
            after = Held.now(service, url)
        judge(
            report,
            fault,
            found,
            url,
            tries=1,
            recovery=found.recovery(damaged),
            before=before,
            after=after,
            statuses=(200, 201),
            pool=16,
        )
        assert service.log.count(WARNING) == 1
        assert "Traceback" not in service.log
        assert len(github.calls) <= 2 * (1 + len(names))
