"""The folder in which gunicorn's master and workers share their metrics.

prometheus_client keeps a file for each process in it, mapped into memory:
https://prometheus.github.io/client_python/multiprocess/
"""

import atexit
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterable
from contextlib import suppress
from itertools import count
from pathlib import Path
from stat import S_ISDIR

MEMORY = Path("/dev/shm")
PREFIX = "github-task-tracker-metrics-"
ABANDONED = 60.0  # seconds, after which a folder without a process is deleted

folder: Path | None = None  # None: this process keeps its metrics in its memory
slot = 0  # of this process; its files have the number in their names


def share() -> None:
    """Keep the metrics of this process and its children in files; the first metric comes later.

    The folder is new, is for this account only, and is deleted when the process ends. A process
    that was killed has left its own, which the next start deletes. It is in memory: on a disk that
    is full, a write to a mapped file would end the process by SIGBUS.
    """
    global folder
    if folder:
        return  # gunicorn reads its settings again at a reload
    from prometheus_client import values

    parent = MEMORY if os.access(MEMORY, os.W_OK) else Path(tempfile.gettempdir())
    _delete_abandoned(parent)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
    # The lock lasts until the last process that has inherited the descriptor ends.
    fcntl.flock(os.open(folder, os.O_RDONLY), fcntl.LOCK_SH)
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    values.ValueClass = values.MultiProcessValue(lambda: slot)  # type: ignore[no-untyped-call]
    atexit.register(_delete, folder, os.getpid())


def collected() -> str | None:
    """Return the folder to collect from, or None where there is none of this account.

    systemd-logind deletes an account's files in /dev/shm when it logs out. Then the folder is made
    again, and fills with the next workers: without it they could not start.
    """
    if folder is None:
        return None
    folder.mkdir(mode=0o700, exist_ok=True)
    status = folder.lstat()
    if not S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        return None  # another account has made it
    return str(folder)


def free_slot(used: Iterable[int]) -> int:
    """Return the lowest number that no worker has.

    prometheus_client's default is the process ID. Then each worker that has ever run would leave
    its files behind; a worker with a number from before goes on with that one's counters.
    """
    taken = set(used)
    return next(number for number in count(1) if number not in taken)


def use_slot(number: int) -> None:
    """Write to the files of this number from now on."""
    global slot
    slot = number


def forget(number: int) -> None:
    """Delete the gauges of the process that had the number; its counters stay."""
    from prometheus_client.multiprocess import mark_process_dead

    if found := collected():
        mark_process_dead(number, found)  # type: ignore[no-untyped-call]


def _delete_abandoned(parent: Path) -> None:
    for left in parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # another account's, or deleted by another start
            status = left.stat()
            if status.st_uid != os.geteuid() or time.time() - status.st_mtime < ABANDONED:
                continue
            descriptor = os.open(left, os.O_RDONLY | os.O_NOFOLLOW)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(left)
            finally:
                os.close(descriptor)


def _delete(owned: Path, owner: int) -> None:
    if os.getpid() == owner:  # a worker inherits the function
        shutil.rmtree(owned, ignore_errors=True)
