"""Which addresses the services of this checkout listen on, so that its command line finds them.

A file has a line for each address. The master of the service holds a lock on the byte whose number
is in the line; the kernel releases it with the process, even after `kill -9`.
"""

import fcntl
import json
import os
import socket
from collections.abc import Iterable
from contextlib import suppress
from typing import NamedTuple

from .config import INSTANCE

FILE = INSTANCE / "services.jsonl"
MUTEX = 0  # number of the byte whose lock is held while the lines are read or written
EVERY = {socket.AF_INET: "0.0.0.0", socket.AF_INET6: "::"}


class Line(NamedTuple):
    """An address on which a service listens."""

    byte: int
    host: str  # an IP address
    port: int
    database: str


def announce(database: str, addresses: Iterable[tuple[str, int]]) -> None:
    """Hold the locks of the addresses for the rest of this process's life; a child does not.

    Raises:
        OSError: the file can't be written.
    """
    FILE.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor = _open(os.O_RDWR | os.O_CREAT)
    fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, MUTEX)
    lines = [line for line in _lines(descriptor) if _is_held(descriptor, line)]
    for host, port in addresses:
        byte = max((line.byte for line in lines), default=MUTEX) + 1
        fcntl.lockf(descriptor, fcntl.LOCK_EX, 1, byte)
        lines.append(Line(byte, host, port, database))
    text = "".join(json.dumps(line) + "\n" for line in lines)
    os.ftruncate(descriptor, os.pwrite(descriptor, text.encode(), 0))
    fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, MUTEX)


def find(host: str, port: int) -> tuple[str, str] | None:
    """Return the IP address and the database of the service on an address; None without one.

    A service on all addresses of the machine counts: no other program can listen on this one.
    """
    try:
        descriptor = _open(os.O_RDONLY)
    except OSError:
        return None
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH, 1, MUTEX)
        lines = [line for line in _lines(descriptor) if line.port == port]
        found = _resolve(host, port) if lines else []
        for address, every in found:
            for line in lines:
                if line.host in {address, every} and _is_held(descriptor, line):
                    return address, line.database
    finally:
        os.close(descriptor)
    return None


def _resolve(host: str, port: int) -> list[tuple[str, str]]:
    """Return the IP addresses of a host, each with the one that stands for every address."""
    with suppress(OSError):  # no such host
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        return [(str(address[0]), EVERY[family]) for family, *_, address in found]
    return []


def _lines(descriptor: int) -> list[Line]:
    lines = []
    for text in os.pread(descriptor, os.fstat(descriptor).st_size, 0).splitlines():
        with suppress(ValueError, TypeError):  # a full disk, or another version of this code
            lines.append(Line(*json.loads(text)))
    return lines


def _is_held(descriptor: int, line: Line) -> bool:
    """Return whether another process holds the lock of a line."""
    try:
        fcntl.lockf(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB, 1, line.byte)
    except OSError:
        return True
    fcntl.lockf(descriptor, fcntl.LOCK_UN, 1, line.byte)
    return False


def _open(flags: int) -> int:
    return os.open(FILE, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
