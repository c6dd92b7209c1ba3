"""PostgreSQL stops, dies, hangs and refuses under load; nothing that was acknowledged is lost."""

import time
from collections.abc import Callable
from pathlib import Path

import psycopg2
import pytest

from load import connections, descriptors, load, lost_and_doubled, workers
from service import served, wait_for

pytestmark = pytest.mark.failure


def test_connections_that_are_terminated_under_load_are_replaced(
    environment: dict[str, str], tmp_path: Path, report: Callable[..., None]
) -> None:
    url = environment["DATABASE_URL"]
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        with load(service) as found:
            time.sleep(1)
            before = connections(url), descriptors(service)
            for _ in range(5):
                with psycopg2.connect(url) as connection:
                    connection.cursor().execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE"
                        " application_name = 'github-task-tracker' AND datname = current_database()"
                    )
                connection.close()
                ended = time.monotonic()
                time.sleep(0.5)
            time.sleep(1)
            after = connections(url), descriptors(service)
        lost, doubled = lost_and_doubled(found, url)
        report(
            "connections terminated",
            tries=5,
            seen=found.seen(),
            recovery=f"{found.recovery(ended):.2f} s",
            lost=lost,
            doubled=doubled,
            connections=f"{before[0]} → {after[0]}",
            descriptors=f"{before[1]} → {after[1]}",
        )
    assert (lost, doubled) == (0, 0)
    assert set(found.seen()) <= {200, 201, 503}
    assert found.recovery(ended) < 2
    assert after[0] <= 32
