"""Hundreds of slow clients: nobody else waits, and each of them takes little memory."""

from collections.abc import Callable
from pathlib import Path

import pytest

from helpers import connections, descriptors, served, wait_for, workers
from readers import Readers, check_as_fast
from slow_clients import slow_clients

# tests/test_worker_deadlines.py has a few such clients, in a moment.
pytestmark = [pytest.mark.failure, pytest.mark.slow]

MEMORY_MAX = 64 * 1024  # bytes for each connection


@pytest.mark.parametrize(("number", "seconds"), [(300, 2), (2_000, 30)])
def test_slow_clients_hold_up_no_reads(
    environment: dict[str, str],
    tmp_path: Path,
    report: Callable[..., None],
    number: int,
    seconds: float,
) -> None:
    url = environment["DATABASE_URL"]
    environment = {**environment, "WEB_CONCURRENCY": "1"}
    with served(environment, tmp_path / "output") as service:
        (worker,) = workers(service)
        readers = Readers(service)
        with slow_clients(service, 30):  # what the worker needs once
            before = readers.measure(1)
        wait_for(lambda: descriptors(service) < 30)
        start = connections(url), descriptors(service), worker.memory_info().rss
        with slow_clients(service, number):
            wait_for(lambda: descriptors(service) >= start[1] + number)
            meanwhile = readers.measure(seconds)
            assert service.answers("/health/live")
            grown = worker.memory_info().rss - start[2]  # bytes
        wait_for(lambda: descriptors(service) <= start[1] + 8)
        report(
            f"load: {number} clients that send a byte a second or do not read",
            tries=len(meanwhile),
            seen={200: len(meanwhile)},
            recovery="",
            lost=0,
            doubled=0,
            connections=f"{start[0]} → {connections(url)}",
            descriptors=f"{start[1]} → {descriptors(service)}",
            slowest=f"{meanwhile[-1]:.2f} s (reads and edits)",
            memory=f"{grown / number / 1024:.0f} KiB for each",
        )
        assert "Traceback" not in service.log
    check_as_fast(meanwhile, before)
    if number >= 1_000:  # with fewer, what a worker needs once counts too much
        assert grown / number < MEMORY_MAX
