"""The embedded PostgreSQL server, shared by all processes that use it and restarted if it dies.

Each of these processes holds a shared lock on a file, which the kernel releases even after
`kill -9`. The first one starts the server, the last one stops it.
"""

import fcntl
import logging
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from ..errors import EmbeddedPostgresError
from . import postmaster
from .account import server_account
from .binaries import ENDING, binary, signals_blocked
from .files import beside, create_folders, open_lock_file
from .locks import ForkedProcess, acquire, check_not_forked, exclusive
from .roles import connection_parameters, superuser_parameters

__all__ = [
    "binary",
    "connection_parameters",
    "delete",
    "exit_if_signaled",
    "ignore_signals",
    "running",
    "superuser_parameters",
]

logger = logging.getLogger(__name__)

WATCH_INTERVAL = 0.5  # seconds between two checks that the server runs

_received: int | None = None  # the signal that ends this process


@contextmanager
def running(folder: Path | None, options: Mapping[str, str] | None = None) -> Iterator[None]:
    """Run a PostgreSQL server on a data folder for the time of the block; None: do nothing.

    A new folder is initialized, a server that already runs is shared, and one that dies is
    restarted. `options` are settings of PostgreSQL such as `{"fsync": "off"}`; they apply where
    this process starts the server. A signal of `ENDING` that the process does not handle ends the
    block like `sys.exit`.

    Raises:
        EmbeddedPostgresError: the server can't be started.
    """
    if folder is None:
        yield
        return
    options = options or {}
    with ExitStack() as stack:
        with _translated_errors(folder):
            create_folders(folder.parent)
            lock = stack.enter_context(_open(folder, ".lock"))
            users = stack.enter_context(_open(folder, ".users"))
        stack.enter_context(_signals_exit())
        acquire(users, fcntl.LOCK_SH)
        with exclusive(lock), _translated_errors(folder):
            stack.callback(_stop_if_last, folder, lock, users, os.getpid())
            postmaster.start(folder, options)
        stack.enter_context(_watched(folder, options))
        yield


def delete(folder: Path) -> None:
    """Delete a data folder with all that is in it, if it exists.

    Raises:
        EmbeddedPostgresError: a process uses it, or it is not a data folder.
    """
    if not os.path.lexists(folder):
        return
    with _translated_errors(folder), ExitStack() as stack:
        lock = stack.enter_context(_open(folder, ".lock"))
        users = stack.enter_context(_open(folder, ".users"))
        stack.enter_context(exclusive(lock))
        try:
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise EmbeddedPostgresError(
                f"{folder} is in use; stop the service that uses it"
            ) from None
        if folder.is_symlink() or not (folder / "PG_VERSION").is_file():
            raise EmbeddedPostgresError(f"{folder} is not a data folder of ours; move it away")
        postmaster.stop(folder)
        shutil.rmtree(folder)


def _stop_if_last(folder: Path, lock: IO[str], users: IO[str], owner: int) -> None:
    # A forked process comes here too when it ends, but the server belongs to its parent.
    if os.getpid() == owner:
        with signals_blocked(), exclusive(lock), suppress(BlockingIOError):
            fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
            postmaster.stop(folder)


@contextmanager
def _watched(folder: Path, options: Mapping[str, str]) -> Iterator[None]:
    """Restart the server whenever it dies in the block."""
    owner, stopping = os.getpid(), threading.Event()

    def watch() -> None:
        try:
            _watch(folder, options, owner, stopping)
        except ForkedProcess:
            # The fork has copied this greenlet, but not its entry in threading's list of threads.
            # Returning would log a KeyError for that entry.
            threading.Event().wait()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    # With gevent, start() returns while the event loop still runs the callback that it waited
    # for. A fork would break this callback in the child, so let it end first.
    time.sleep(0)
    try:
        yield
    finally:
        if os.getpid() == owner:
            stopping.set()
            thread.join()


def _watch(folder: Path, options: Mapping[str, str], owner: int, stopping: threading.Event) -> None:
    reported = False
    while not stopping.wait(WATCH_INTERVAL):
        check_not_forked(owner)
        if postmaster.is_running(folder):
            continue
        try:
            with _translated_errors(folder), _open(folder, ".lock") as lock, exclusive(lock):
                if not stopping.is_set() and not postmaster.is_running(folder):
                    logger.warning("PostgreSQL has died; restarting it")
                    postmaster.start(folder, options)
            reported = False
        except EmbeddedPostgresError as error:
            if not reported:
                logger.error("%s", error)  # noqa: TRY400  the message names the cause
            reported = True


@contextmanager
def _translated_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(f"{folder} can't be used: {error}") from error


def _open(folder: Path, suffix: str) -> IO[str]:
    return open_lock_file(beside(folder, suffix), server_account(folder))


@contextmanager
def _signals_exit() -> Iterator[None]:
    """End the block like `sys.exit` at a signal that would end the process."""
    in_main = threading.current_thread() is threading.main_thread()
    numbers = ENDING if in_main else ()
    unhandled = [number for number in numbers if signal.getsignal(number) is signal.SIG_DFL]
    for number in unhandled:
        signal.signal(number, _exit)
    try:
        yield
    finally:
        for number in unhandled:
            if signal.getsignal(number) is _exit:
                signal.signal(number, signal.SIG_DFL)


def _exit(number: int, frame: object) -> None:
    global _received
    ignore_signals()
    _received = number
    exit_if_signaled()


def exit_if_signaled() -> None:
    """End the process if a signal has come in the block of `running`.

    For use at the end of a start: psycopg2 drops an exception that comes while it decodes a
    notice, https://github.com/psycopg/psycopg2/blob/2.9.12/psycopg/connection_int.c#L255
    """
    if _received is not None:
        sys.exit(128 + _received)


def ignore_signals() -> None:
    """Ignore a second signal, which must not interrupt the exit that the first one began.

    The kernel and the shell may both send a SIGHUP, and whoever waits may press Ctrl-C again.
    """
    for number in ENDING:
        signal.signal(number, signal.SIG_IGN)
