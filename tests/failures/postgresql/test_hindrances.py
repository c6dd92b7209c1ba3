"""PostgreSQL cannot write for a while; writes are refused in time, and reads go on."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import NamedTuple

import pytest

from helpers import Held, judge, load, served, wait_for, workers
from hurt import MARGIN, locked, read, read_only, slowed
from tracker.database.connection import CHECKOUT_TIMEOUT
from tracker.database.driver import (
    CONNECT_TIMEOUT,
    LOCK_TIMEOUT,
    RESPONSE_TIMEOUT,
    STATEMENT_TIMEOUT,
)

# tests/database/test_connection.py has these errors, and test_worker.py a lock beside reads.
pytestmark = [pytest.mark.failure, pytest.mark.slow]

POOL_SIZE = 10


class Hindrance(NamedTuple):
    """Something that prevents writes."""

    hinder: Callable[[Path, str], AbstractContextManager[None]]
    message: str
    wait: float = 0.0  # seconds until a write is refused
    pool_size: int = POOL_SIZE


HINDRANCES = {
    "lock held by another program": Hindrance(locked, "get a lock in time", LOCK_TIMEOUT / 1000),
    "pool exhausted": Hindrance(locked, "connections are in use", CHECKOUT_TIMEOUT, pool_size=2),
    "read-only": Hindrance(read_only, "read-only"),
    "statement that runs too long": Hindrance(slowed, "respond in time", STATEMENT_TIMEOUT / 1000),
}


@pytest.mark.parametrize("fault", HINDRANCES)
def test_a_hindered_write_is_refused_in_time_and_reads_go_on(
    environment: dict[str, str],
    folder: Path,
    url: str,
    tmp_path: Path,
    report: Callable[..., None],
    fault: str,
) -> None:
    hindrance = HINDRANCES[fault]
    readable = hindrance.pool_size == POOL_SIZE
    environment = {**environment, "DATABASE_POOL_SIZE": str(hindrance.pool_size)}
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        path = service.post("pallets/flask").headers["Location"]
        # With a small pool, so many that some wait longer for a connection than for a lock.
        with load(service, clients=8 if readable else 16) as found:
            found.goes_on()
            before = Held.now(service, url)
            reads = []
            with hindrance.hinder(folder, url):
                began = time.monotonic()
                while not any(hindrance.message in refusal for refusal in found.refusals):
                    assert time.monotonic() - began < RESPONSE_TIMEOUT + MARGIN
                    if readable:
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
        pool=2 * hindrance.pool_size,
    )
    assert hindrance.wait * 0.9 <= first < hindrance.wait + CONNECT_TIMEOUT + MARGIN
    assert {status for status, _ in reads} <= {200}
    assert all(seconds < MARGIN for _, seconds in reads)
