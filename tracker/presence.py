"""Which ports the services of this checkout listen on, so that its command line finds them.

The master of a service holds a lock on one byte of a file: the one with the port's number. The
kernel releases it with the process, even after `kill -9`.
"""

import fcntl
import os

from .config import INSTANCE

FILE = INSTANCE / "services.lock"


def announce(*ports: int) -> None:
    """Hold the locks of the ports for the rest of this process's life; a child does not.

    Raises:
        OSError: the file can't be written.
    """
    INSTANCE.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = _open(os.O_RDWR | os.O_CREAT)
    for port in ports:
        fcntl.lockf(descriptor, fcntl.LOCK_SH, 1, port)


def is_announced(port: int) -> bool:
    """Return whether a service of this checkout listens on the port."""
    try:
        descriptor = _open(os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except OSError:
        return True
    finally:
        os.close(descriptor)
    return False


def _open(flags: int) -> int:
    return os.open(FILE, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
