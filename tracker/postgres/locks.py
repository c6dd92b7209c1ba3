"""Locks between processes, and waits that end in a forked process.

With gevent's monkey patch a thread is a greenlet, and a fork copies it: gunicorn's workers go on
with the waits of the master. There these functions raise ForkedProcess instead.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

from ..errors import EmbeddedPostgresError

POLL_INTERVAL = 0.1  # seconds
LOCK_TIMEOUT = 180  # seconds; another process may create, start and stop a server meanwhile


class ForkedProcess(Exception):
    """This code runs in a fork of the process that called it."""


def attempts(timeout: float) -> Iterator[None]:
    """Yield at once, and again every POLL_INTERVAL until the timeout, in seconds.

    Raises:
        ForkedProcess: the process was forked during the wait, and this is the child.
    """
    owner, deadline = os.getpid(), time.monotonic() + timeout
    while True:
        yield
        if time.monotonic() >= deadline:
            return
        time.sleep(POLL_INTERVAL)
        check_not_forked(owner)


def check_not_forked(owner: int) -> None:
    """Raise ForkedProcess unless this is the process with the ID `owner`."""
    if os.getpid() != owner:
        raise ForkedProcess


def acquire(file: IO[str], operation: int) -> None:
    """Lock a file, with `fcntl.LOCK_SH` or `fcntl.LOCK_EX`, until it is closed or unlocked.

    It polls, because a blocking flock() would block all greenlets.

    Raises:
        EmbeddedPostgresError: other processes held the lock for LOCK_TIMEOUT.
        ForkedProcess: the process was forked during the wait, and this is the child.
    """
    for _ in attempts(LOCK_TIMEOUT):
        try:
            fcntl.flock(file, operation | fcntl.LOCK_NB)
        except BlockingIOError:
            continue
        return
    raise EmbeddedPostgresError(
        f"another process has locked {file.name} for {LOCK_TIMEOUT} s; stop that process"
    )


@contextmanager
def exclusive(file: IO[str]) -> Iterator[None]:
    """Hold the exclusive lock on a file for the time of the block.

    Raises:
        EmbeddedPostgresError: other processes held the lock for LOCK_TIMEOUT.
        ForkedProcess: the process was forked during the wait, and this is the child.
    """
    owner = os.getpid()
    acquire(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if os.getpid() == owner:  # a forked process shares the lock, and would release it for both
            fcntl.flock(file, fcntl.LOCK_UN)
