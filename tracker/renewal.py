"""Renewal of leases: a living holder keeps its leases, and those of a dead one soon expire."""

import logging
import time
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from threading import Lock, Thread
from typing import Generic, TypeVar

logger = logging.getLogger(__name__)

L = TypeVar("L", bound=Hashable)


class Renewer(Generic[L]):
    """Renews this process's leases in one thread, which ends some time after the last lease.

    Each `interval` seconds `renew` gets the leases that have been held for that long. Most leases
    are not, and cost nothing. A lease must last three intervals.
    """

    def __init__(self, renew: Callable[[set[L]], None], interval: float) -> None:
        self._renew = renew
        self._interval = interval
        self._lock = Lock()
        self._held: set[L] = set()
        self._runs = False

    @contextmanager
    def renewed(self, lease: L) -> Iterator[None]:
        """Renew a lease until the block ends."""
        with self._lock:
            self._held.add(lease)
            starts = not self._runs
            self._runs = True
        if starts:
            Thread(target=self._run, name="renewer", daemon=True).start()
        try:
            yield
        finally:
            with self._lock:
                self._held.discard(lease)

    def _run(self) -> None:
        before: set[L] = set()
        while True:
            time.sleep(self._interval)
            with self._lock:
                if not self._held:
                    self._runs = False
                    return
                due = self._held & before
                before = set(self._held)
            if due:
                try:
                    self._renew(due)
                except Exception:
                    logger.exception("Leases were not renewed; trying again")
