"""What keeps a wait from holding up others: the turn is handed on, and few may wait for GitHub."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Condition

from tracker.errors import GitHubBusy

SLOW = 1.0  # seconds, after which an answer is no longer worth a queue
RETRY_AFTER = 5  # seconds, told to clients


def step_aside() -> None:
    """Tell that this thread begins to wait; gunicorn's worker puts its own in this place."""


class WaitingRoom:
    """Has so many places, and a queue before it while those inside leave it quickly."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._entered: list[float] = []  # when those inside came in, the first first
        self._slow = False  # what the last one to leave found
        self._changed = Condition()

    @contextmanager
    def place(self) -> Iterator[None]:
        """Take a place for the time of the block.

        Raises:
            GitHubBusy: all are taken, and GitHub is slow.
        """
        step_aside()
        entered = self._enter()
        try:
            yield
        finally:
            self._leave(entered)

    def _enter(self) -> float:
        with self._changed:
            while len(self._entered) >= self._places:
                remaining = self._entered[0] + SLOW - time.monotonic()
                if self._slow or remaining <= 0:
                    raise GitHubBusy(
                        "Too many requests wait for GitHub; try again.", retry_after=RETRY_AFTER
                    )
                self._changed.wait(remaining)
            entered = time.monotonic()
            self._entered.append(entered)
            return entered

    def _leave(self, entered: float) -> None:
        with self._changed:
            self._entered.remove(entered)
            self._slow = time.monotonic() - entered >= SLOW
            self._changed.notify()
