"""An embedded PostgreSQL: the wheel's own programs on a data folder of ours.

The server listens on a Unix socket alone, so it can't meet another PostgreSQL. It runs for as
long as anyone uses it: each user holds a shared lock on a file, which the kernel drops even at
`kill -9`, and whoever leaves last stops the server.
"""

import fcntl
import hashlib
import logging
import os
import re
import shlex
import shutil
import signal
import stat
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import IO, Any

import psutil
import psycopg2

from tracker.errors import EmbeddedPostgresError
from tracker.postgres.binaries import account_of, run

logger = logging.getLogger(__name__)

START_TIMEOUT = 60  # seconds, crash recovery included
STOP_TIMEOUT = 30  # seconds
WATCH_INTERVAL = 0.5  # seconds between two looks at whether the server lives
SOCKET_PATH_LIMIT = 100  # bytes; sun_path takes 104 on macOS, 108 on Linux


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Have a PostgreSQL server running on `folder` for the time of the block.

    A new folder is initialized, a server that already runs is shared, and one that dies is
    started again. Where nothing else handles SIGTERM, it leaves the block as `sys.exit` does.

    Raises:
        EmbeddedPostgresError: the server can't be started.
    """
    owner = os.getpid()
    with _explained(folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        starting, using = _open(folder, ".lock"), _open(folder, ".users")
    with starting, using, _sigterm_exits():
        fcntl.flock(using, fcntl.LOCK_SH)
        try:
            with _locked(starting), _explained(folder):
                _start(folder)
            with _watched(folder):
                yield
        finally:
            # A forked process comes by here too when it ends, and the server is not its to stop.
            if os.getpid() == owner:
                with _locked(starting), suppress(BlockingIOError):
                    fcntl.flock(using, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    _stop(folder)


@contextmanager
def _watched(folder: Path) -> Iterator[None]:
    """Start the server again whenever it dies in the block."""
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(folder, over), daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        if thread.is_alive():  # in a forked process it is not
            thread.join()


def _watch(folder: Path, over: threading.Event) -> None:
    failed = False
    while not over.wait(WATCH_INTERVAL):
        if _postmaster_runs(folder):
            continue
        try:
            with _explained(folder), _open(folder, ".lock") as starting, _locked(starting):
                if not over.is_set():
                    logger.warning("PostgreSQL has died; starting it again")
                    _start(folder)
            failed = False
        except EmbeddedPostgresError as error:
            if not failed:
                logger.error("%s", error)  # noqa: TRY400  the message says it all
            failed = True


def if_wanted(folder: Path | None) -> AbstractContextManager[None]:
    """Like `running`, or nothing at all without a folder."""
    return running(folder) if folder else nullcontext()


def connection_parameters(folder: Path) -> dict[str, Any]:
    """Give libpq's parameters for the server on `folder`, running or not. No I/O."""
    return {
        "host": str(_socket_folder(folder)),
        "port": 5432,
        "user": "postgres",
        "dbname": "postgres",
    }


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise EmbeddedPostgresError(f"{folder} can't be used: {error}") from error


def _open(folder: Path, suffix: str) -> IO[str]:
    file = _beside(folder, suffix).open("a")
    if account := account_of(folder):  # who may start the server next time, without root
        os.chown(file.fileno(), *account)
    return file


def _beside(folder: Path, suffix: str) -> Path:
    return folder.with_name(folder.name + suffix)


@contextmanager
def _sigterm_exits() -> Iterator[None]:
    unhandled = signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
    if unhandled and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGTERM, _exit)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _exit:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _exit(number: int, frame: object) -> None:
    sys.exit(128 + number)


@contextmanager
def _locked(file: IO[str]) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _start(folder: Path) -> None:
    if not folder.exists():
        _initialize(folder)
    _check_version(folder)
    _make_socket_folder(folder)
    deadline = time.monotonic() + START_TIMEOUT
    while not _answers(folder):
        if _postmaster_runs(folder):  # it is starting, recovering or stopping
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"PostgreSQL does not answer; see {folder / 'server.log'}"
                )
            time.sleep(0.1)
        else:
            _launch(folder, deadline)


def _initialize(folder: Path) -> None:
    # In a folder of another name until it is whole: a killed initdb leaves no half database.
    unfinished = _beside(folder, ".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if account := account_of(folder):
        os.chown(unfinished, *account)
    encoding = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    run(unfinished, "initdb", "--username=postgres", "--auth=trust", *encoding)
    unfinished.rename(folder)


def _check_version(folder: Path) -> None:
    try:
        found = (folder / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise EmbeddedPostgresError(
            f"{folder} is no PostgreSQL data folder that can be read ({error.strerror}); "
            "move it away, or set DATABASE_URL"
        ) from error
    ours = run(folder, "postgres", "--version").split()[-1].partition(".")[0]
    if found != ours:
        raise EmbeddedPostgresError(
            f"{folder} was made by PostgreSQL {found}, and this is {ours}; "
            "dump it with the old version, or move it away"
        )


def _make_socket_folder(folder: Path) -> None:
    sockets, account = _socket_folder(folder), account_of(folder)
    if sockets == folder:
        return
    with suppress(FileExistsError):
        sockets.mkdir(mode=0o700)
    # In /tmp it may be anyone's, and a link to anywhere.
    found = sockets.lstat()
    trusted = {os.geteuid(), account.uid if account else os.geteuid()}
    if not stat.S_ISDIR(found.st_mode) or found.st_uid not in trusted:
        raise EmbeddedPostgresError(f"{sockets} is not ours; remove it")
    if account:
        os.chown(sockets, *account)


def _launch(folder: Path, deadline: float) -> None:
    sockets = _socket_folder(folder)
    # No postmaster runs, so these are stale; PostgreSQL trusts them where the number is in use.
    (folder / "postmaster.pid").unlink(missing_ok=True)
    (sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
    options = {
        "listen_addresses": "",
        "port": "5432",
        # PostgreSQL reads a list here; quoted, a path may hold spaces.
        "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
        "log_min_messages": "warning",
    }
    # A shell reads all of it. What pg_ctl would add by itself, it quotes too weakly.
    arguments = shlex.join(
        ["-D", str(folder), *(f"--{name}={value}" for name, value in options.items())]
    )
    log = folder / "server.log"
    known = log.stat().st_size if log.exists() else 0
    try:
        waiting = ["--wait", f"--timeout={START_TIMEOUT}"]
        run(folder, "pg_ctl", "start", "--log", log.name, "--options", arguments, *waiting)
    except EmbeddedPostgresError as error:
        text = log.read_bytes()[known:].decode(errors="replace") if log.exists() else ""
        # What is left of a server that was killed ends by itself, each after its statement.
        if "is still in use" in text and time.monotonic() < deadline:
            time.sleep(0.1)
            return
        fatal = re.findall("^.*(?:FATAL|PANIC).*$", text, re.MULTILINE)
        reason = fatal[-1] if fatal else error
        raise EmbeddedPostgresError(f"PostgreSQL does not start: {reason}; see {log}") from error


def _stop(folder: Path) -> None:
    if _postmaster_runs(folder):
        run(folder, "pg_ctl", "stop", "--mode=fast", "--wait", f"--timeout={STOP_TIMEOUT}")
    sockets = _socket_folder(folder)
    if sockets != folder:
        with suppress(OSError):
            sockets.rmdir()


def _answers(folder: Path) -> bool:
    try:
        psycopg2.connect(**connection_parameters(folder), connect_timeout=3).close()
    except psycopg2.OperationalError:
        return False
    return True


def _postmaster_runs(folder: Path) -> bool:
    # After a crash the number may have gone to another process, even to another postgres.
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        arguments = process.cmdline()
        data = Path(arguments[arguments.index("-D") + 1])
        return process.name() == "postgres" and data.samefile(folder)
    except (OSError, IndexError, ValueError, psutil.Error):
        return False


def _socket_folder(folder: Path) -> Path:
    fits = len(os.fsencode(folder / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT
    if fits and "," not in str(folder):  # to libpq a comma ends a host
        return folder
    return Path("/tmp") / f"tracker-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"
