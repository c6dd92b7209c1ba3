"""The primary of a synchronous pair ends, and the standby takes its place by hand."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from debian_postgresql import PostgreSQL, postgresql_servers
from helpers import Held, Service, judge, load, lost_and_doubled, served, wait_for, workers
from tracker.config import Settings
from tracker.database import migrations
from tracker.database.driver import CONNECT_TIMEOUT, RESPONSE_TIMEOUT

pytestmark = pytest.mark.cluster

FAILOVERS = 10
MARGIN = 1.5  # seconds for everything that a request does besides waiting for PostgreSQL


@pytest.fixture
def pair() -> Iterator[list[PostgreSQL]]:
    """A primary with the schema, and its synchronous standby."""
    with postgresql_servers("first", "second") as servers:
        migrations.upgrade(Settings(database_url=servers[0].url))
        yield servers


def url_of(servers: list[PostgreSQL]) -> str:
    """Return the documented form of DATABASE_URL, with the primary first."""
    hosts = ",".join(server.host for server in servers)
    return f"postgresql://postgres@{hosts}/tracker?target_session_attrs=read-write"


def fail_over(standby: PostgreSQL) -> float:
    """Promote a standby by hand, as documented; return the time at which it is the primary."""
    standby.set_synchronous(False)  # it has no standby yet
    standby.promote()
    return time.monotonic()


def rejoin(old: PostgreSQL, primary: PostgreSQL) -> None:
    """Let an old primary follow the new one, as documented."""
    old.follow(primary)
    primary.set_synchronous(True)
    wait_for(primary.is_followed)


def test_a_failover_by_hand_loses_and_doubles_nothing(
    pair: list[PostgreSQL], variables: dict[str, str], tmp_path: Path, report: Callable[..., None]
) -> None:
    environment = variables | {"DATABASE_URL": url_of(pair)}
    primary, standby = pair
    recoveries = []
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        with load(service) as found:
            found.goes_on()
            before = Held.now(service, primary.url)
            for _ in range(FAILOVERS):
                primary.kill()
                promoted = fail_over(standby)
                found.goes_on(8)
                recoveries.append(found.recovery(promoted))
                primary, standby = standby, primary
                rejoin(standby, primary)
                assert standby.is_standby()
                found.goes_on(8)
                assert ours(standby) == 0
            after = Held.now(service, primary.url)
    assert "Traceback" not in service.log
    judge(
        report,
        "primary killed, standby promoted by hand",
        found,
        primary.url,
        tries=FAILOVERS,
        recovery=max(recoveries),
        before=before,
        after=after,
    )


def ours(server: PostgreSQL) -> int:
    """Count the service's connections to a server."""
    query = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'github-task-tracker'"
    return int(server.execute(query)[0][0])


def test_a_silent_host_costs_each_worker_one_connect_limit(
    pair: list[PostgreSQL], variables: dict[str, str], tmp_path: Path, report: Callable[..., None]
) -> None:
    environment = variables | {"DATABASE_URL": url_of(pair)}
    primary, standby = pair
    with ExitStack() as stack:
        service = stack.enter_context(served(environment, tmp_path / "output"))
        wait_for(lambda: len(workers(service)) == 2)
        with load(service, clients=4) as found:
            found.goes_on()
            primary.send(signal.SIGSTOP)
            promoted = fail_over(standby)
            found.goes_on(8)
            recovery = found.recovery(promoted)
            # A worker that starts now does not know yet which host is silent.
            environment |= {"WEB_CONCURRENCY": "1"}
            fresh = stack.enter_context(served(environment, tmp_path / "fresh"))
            seconds = sorted((timed(fresh) for _ in range(10)), reverse=True)
        # It runs again, and still believes to be the primary; but no commit there is acknowledged.
        primary.send(signal.SIGCONT)
        responses = [service.post("pallets/flask") for _ in range(6)]
        ids = [response.json()["id"] for response in responses if response.ok]
        stored = standby.execute(f"SELECT count(*) FROM tasks WHERE id = ANY (ARRAY{ids})")
        assert stored == [(len(ids),)]
        assert {response.status_code for response in responses} <= {201, 503}
    lost, doubled = lost_and_doubled(found, standby.url)
    report(
        "primary silent, standby promoted by hand",
        tries=1,
        seen=found.seen(),
        recovery=f"{recovery:.2f} s",
        lost=lost,
        doubled=doubled,
        slowest=f"{found.slowest():.1f} s",
    )
    assert (lost, doubled) == (0, 0)
    assert found.unclear == []
    assert found.seen().keys() <= {200, 201, 503}
    assert recovery < RESPONSE_TIMEOUT + CONNECT_TIMEOUT + MARGIN
    assert found.slowest() < RESPONSE_TIMEOUT + CONNECT_TIMEOUT + MARGIN
    assert CONNECT_TIMEOUT <= seconds[0] < CONNECT_TIMEOUT + MARGIN
    assert seconds[1] < MARGIN


def timed(service: Service) -> float:
    """Return the seconds of a read."""
    started = time.monotonic()
    assert service.answers("/tasks?limit=1")
    return time.monotonic() - started
