"""The server's main process: its data folder, its start and its stop.

It listens on a Unix socket only, so it can't conflict with another PostgreSQL. Callers hold the
lock on the data folder.
"""

import os
import re
import shlex
import shutil
import stat
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

from ..errors import EmbeddedPostgresError
from . import roles
from .account import (
    PRIVATE_ACCOUNT,
    Account,
    belongs_to_nobody,
    initdb_account,
    server_account,
)
from .binaries import run
from .files import beside, change_owner, make_reachable
from .locks import attempts

START_TIMEOUT = 60  # seconds, crash recovery included
STOP_TIMEOUT = 30  # seconds
LOG_FILE = "server.log"


def start(folder: Path, options: Mapping[str, str]) -> None:
    """Start the server unless it runs, and create its data, roles and database if need be.

    Raises:
        EmbeddedPostgresError: the server can't be started.
    """
    if not folder.exists():
        _initialize(folder)
    _check_version(folder)
    if belongs_to_nobody(folder) and not is_running(folder):
        change_owner(folder, PRIVATE_ACCOUNT)
    account = server_account(folder)
    _create_socket_folder(folder, account)
    complete = roles.is_set_up(folder)
    if not complete:
        roles.allow_set_up(folder, account)
        if is_running(folder):
            run(folder, "pg_ctl", "reload")
    _launch_and_wait(folder, options)
    if not complete:
        roles.set_up(folder, account)


def stop(folder: Path) -> None:
    """Stop the server if it runs; connections are closed, and their transactions rolled back.

    Raises:
        EmbeddedPostgresError: the server does not stop.
    """
    if not is_running(folder):
        return
    run(folder, "pg_ctl", "stop", "--mode=fast", "--wait", f"--timeout={STOP_TIMEOUT}")
    sockets = roles.socket_folder(folder)
    if sockets != folder:
        with suppress(OSError):
            sockets.rmdir()


def is_running(folder: Path) -> bool:
    """Check whether the process in `postmaster.pid` is the server of this data folder.

    After a crash another process may have the same process ID, even another PostgreSQL.
    """
    try:
        lines = (folder / "postmaster.pid").read_text().splitlines()
        process = psutil.Process(int(lines[0]))
        arguments = process.cmdline()
        data = Path(arguments[arguments.index("-D") + 1])
        return process.name() == "postgres" and data.samefile(folder)
    except (OSError, IndexError, ValueError, psutil.Error):
        return False


def _initialize(folder: Path) -> None:
    # In another folder until it is complete: a killed initdb leaves no half data folder.
    temporary = beside(folder, ".new")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(mode=0o700)
    data = temporary / "data"
    data.mkdir(mode=0o700)
    account = server_account(folder)
    creator = initdb_account(account)
    if account and creator:
        # Other processes of `nobody` are not in this group, so they can't enter.
        os.chown(temporary, -1, account.gid, follow_symlinks=False)
        os.chown(data, *creator, follow_symlinks=False)
        make_reachable(data, creator)
    options = ["--encoding=UTF8", "--locale-provider=builtin", "--locale=C.UTF-8"]
    superuser = f"--username={roles.SUPERUSER}"
    run(data, "initdb", superuser, "--auth=reject", *options, account=creator)
    if account and account != creator:
        change_owner(data, account)
    data.rename(folder)
    temporary.rmdir()


def _check_version(folder: Path) -> None:
    try:
        found = (folder / "PG_VERSION").read_text().strip()
    except OSError as error:
        raise EmbeddedPostgresError(
            f"{folder} is not a readable PostgreSQL data folder ({error.strerror}); "
            "move it away, or set DATABASE_URL"
        ) from error
    installed = run(folder, "postgres", "--version").split()[-1].partition(".")[0]
    if found != installed:
        raise EmbeddedPostgresError(
            f"{folder} was created by PostgreSQL {found}, and {installed} is installed; "
            "in a checkout of the tracker's version before, run "
            f"`DATABASE_URL={shlex.quote(f'embedded:{folder}')} python3 tracker.py db dump FILE`; "
            f"then here `mv {shlex.quote(str(folder))} {shlex.quote(f'{folder}.old')}` "
            "and `python3 tracker.py db restore FILE`"
        )


def _create_socket_folder(folder: Path, account: Account | None) -> None:
    sockets = roles.socket_folder(folder)
    if sockets == folder:
        return
    with suppress(FileExistsError):
        sockets.mkdir(mode=0o700)
    # In /tmp another user may have created it, even as a link to elsewhere.
    found = sockets.lstat()
    trusted = {os.geteuid(), account.uid if account else os.geteuid()}
    private = stat.S_ISDIR(found.st_mode) and stat.S_IMODE(found.st_mode) == 0o700
    if not private or found.st_uid not in trusted:
        raise EmbeddedPostgresError(
            f"{sockets} exists and is not a folder for this user alone; remove it"
        )
    if account:
        os.chown(sockets, *account, follow_symlinks=False)


def _launch_and_wait(folder: Path, options: Mapping[str, str]) -> None:
    for _ in attempts(START_TIMEOUT):
        reason = _connection_error(folder)
        if reason is None:
            return
        if not is_running(folder):
            _launch(folder, options)
    raise EmbeddedPostgresError(
        f"PostgreSQL accepts no connections: {reason}; see {folder / LOG_FILE}"
    )


def _connection_error(folder: Path) -> str | None:
    # A login would fail while the application uses all connections.
    address = (f"--host={roles.socket_folder(folder)}", "--port=5432")
    login = (f"--username={roles.SUPERUSER}", "--dbname=template1")
    try:
        output = run(folder, "pg_isready", *address, *login, f"--timeout={roles.CONNECT_TIMEOUT}")
    except EmbeddedPostgresError as error:
        return str(error)
    return None if "accepting connections" in output else output.strip()


def _launch(folder: Path, options: Mapping[str, str]) -> None:
    sockets = roles.socket_folder(folder)
    # The server does not run, so these files are stale. PostgreSQL would not start if another
    # process has the ID in them.
    (folder / "postmaster.pid").unlink(missing_ok=True)
    (sockets / ".s.PGSQL.5432.lock").unlink(missing_ok=True)
    settings = {
        **options,
        "listen_addresses": "",
        "port": "5432",
        # PostgreSQL reads a list here; a quoted path may contain spaces.
        "unix_socket_directories": '"' + str(sockets).replace('"', '""') + '"',
        "log_min_messages": "warning",
    }
    # pg_ctl passes all of this to a shell, and would not quote the data folder's path enough.
    arguments = shlex.join(
        ["-D", str(folder), *(f"--{name}={value}" for name, value in settings.items())]
    )
    log = folder / LOG_FILE
    size = log.stat().st_size if log.exists() else 0
    try:
        wait = ["--wait", f"--timeout={START_TIMEOUT}"]
        run(folder, "pg_ctl", "start", "--log", log.name, "--options", arguments, *wait)
    except EmbeddedPostgresError as error:
        text = log.read_bytes()[size:].decode(errors="replace") if log.exists() else ""
        # After a crash old server processes end by themselves, after their statements.
        if "is still in use" in text:
            return
        fatal = re.findall("^.*(?:FATAL|PANIC).*$", text, re.MULTILINE)
        reason = fatal[-1] if fatal else error
        raise EmbeddedPostgresError(f"PostgreSQL does not start: {reason}; see {log}") from error
