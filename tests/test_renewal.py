"""A process renews its leases while it holds them."""

import logging
from queue import Queue

import pytest

from tracker.renewal import Renewer

INTERVAL = 0.02  # seconds


def test_a_lease_is_renewed_until_its_block_ends() -> None:
    rounds: Queue[set[str]] = Queue()
    renewer = Renewer[str](rounds.put, INTERVAL)
    for _ in range(2):  # the thread ends, and starts again
        with renewer.renewed("outer"):
            with renewer.renewed("inner"):
                while rounds.get(timeout=5) != {"inner", "outer"}:
                    pass
            while rounds.get(timeout=5) != {"outer"}:
                pass


def test_an_error_does_not_end_the_renewal(caplog: pytest.LogCaptureFixture) -> None:
    rounds: Queue[set[str]] = Queue()

    def fail(leases: set[str]) -> None:
        rounds.put(leases)
        raise OSError("no route to the server")

    with Renewer[str](fail, INTERVAL).renewed("lease"):
        assert [rounds.get(timeout=5) for _ in range(2)] == [{"lease"}] * 2
    assert {record.levelno for record in caplog.records} == {logging.ERROR}
