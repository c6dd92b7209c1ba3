"""Two nodes behind nginx, with one PostgreSQL and one Redis, while a node ends or changes."""

import os
import signal
import time
from collections.abc import Callable

import pytest

from debian_postgresql import PostgreSQL
from helpers import Held, judge, load, wait_for, workers
from nodes import Nodes, wait_until_gone

pytestmark = pytest.mark.cluster

LEASE = 2.0  # seconds for which a retried creation may wait for the key that a killed one holds

# The commit of each write takes a while, so that most killed processes have one on its way.
LATE = """
    CREATE FUNCTION late() RETURNS trigger LANGUAGE plpgsql
        AS 'BEGIN PERFORM pg_sleep(0.05); RETURN NULL; END';
    CREATE CONSTRAINT TRIGGER late AFTER INSERT OR UPDATE ON tasks DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION late()
"""


@pytest.fixture(autouse=True)
def _without_tasks(primary: PostgreSQL) -> None:
    primary.execute("TRUNCATE tasks, idempotency_keys")


def kill_worker(nodes: Nodes, number: int) -> None:
    service = nodes.services[number]
    victim = workers(service)[0]
    victim.kill()
    wait_for(lambda: victim not in workers(service) and len(workers(service)) == 2)


def kill_node(nodes: Nodes, number: int) -> None:
    processes = workers(nodes.services[number])
    os.killpg(nodes.services[number].process.pid, signal.SIGKILL)
    wait_until_gone(processes)


def kill_master(nodes: Nodes, number: int) -> None:
    processes = workers(nodes.services[number])
    nodes.services[number].process.kill()
    wait_until_gone(processes)


def stop(nodes: Nodes, number: int) -> None:
    nodes.stop(number)


def reload(nodes: Nodes, number: int) -> None:
    service = nodes.services[number]
    before = workers(service)
    service.process.send_signal(signal.SIGHUP)
    wait_until_gone(before)
    wait_for(lambda: len(workers(service)) == 2)


STRIKES: dict[str, tuple[Callable[[Nodes, int], None], int]] = {
    "worker killed": (kill_worker, 6),
    "master and workers killed": (kill_node, 4),
    "master killed": (kill_master, 4),
    "SIGTERM": (stop, 4),
    "SIGHUP": (reload, 4),
}


@pytest.mark.parametrize("name", STRIKES)
def test_no_client_sees_an_error_when_a_node_ends(
    nodes: Nodes, primary: PostgreSQL, report: Callable[..., None], name: str
) -> None:
    strike, tries = STRIKES[name]
    primary.execute(LATE)
    try:
        with load(nodes.nginx) as found:
            found.goes_on()
            before = Held.now(nodes.services[0], primary.url)
            for number in range(tries):
                strike(nodes, number % 2)
                found.goes_on(8)
                if strike in (kill_worker, kill_node):
                    time.sleep(LEASE)
                if nodes.services[number % 2].process.poll() is not None:
                    nodes.start(number % 2)
            found.goes_on()
            after = Held.now(nodes.services[0], primary.url)
    finally:
        primary.execute("DROP FUNCTION late CASCADE")
    judge(
        report,
        f"two nodes behind nginx: {name}",
        found,
        primary.url,
        tries=tries,
        recovery=0.0,
        before=before,
        after=after,
        statuses=(200, 201, 412),
        pool=4 * 10,
    )
    assert "Traceback" not in nodes.logs
