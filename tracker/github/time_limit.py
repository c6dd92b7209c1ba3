"""Time limit for a block, whatever the block waits for."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gevent
from gevent import monkey


class TimeLimitExceeded(Exception):
    """The block took too long."""


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise TimeLimitExceeded in the block after so many seconds.

    The timeout of requests bounds each read, not the sum of them. In gunicorn's workers gevent
    interrupts the greenlet; in a command SIGALRM interrupts the main thread. Other threads (of
    Flask's development server) have no limit but the timeouts of the block itself.
    """
    if monkey.is_module_patched("socket"):
        with gevent.Timeout(seconds, TimeLimitExceeded(f"no result in {seconds:g} seconds")):
            yield
    elif threading.current_thread() is threading.main_thread():
        with _alarm(seconds):
            yield
    else:
        yield


@contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def interrupt(number: int, frame: Any) -> None:
        raise TimeLimitExceeded(f"no result in {seconds:g} seconds")

    previous = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
