"""Clients that send a byte a second, or do not read their responses."""

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from helpers import Service
from raw import request

POST = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
KINDS = (  # what each kind sends at once; more than one response fills the buffers of the kernel
    POST + b"X-Slow: ",
    POST + b"Content-Length: 5000\r\n\r\n",
    request("GET", "/docs/swagger-ui-bundle.js") * 10,
)
DRIP_INTERVAL = 1.0  # seconds


def need_descriptors(number: int) -> None:
    """Raise this process's limit of open files; skip the test if it cannot be so high."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < number:
        pytest.skip(f"needs {number} open files, and the limit is {hard}")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, number), hard))


@contextmanager
def slow_clients(service: Service, number: int) -> Iterator[None]:
    """Keep so many slow clients connected until the block ends, a third of each kind."""
    need_descriptors(number + 200)
    stopped = threading.Event()
    clients = [_connect(service, kind) for kind in range(number)]

    def drip() -> None:
        while not stopped.wait(DRIP_INTERVAL):
            for kind, client in enumerate(clients):
                if kind % 3 == 2:
                    continue
                try:
                    client.send(b" ")
                except OSError:  # it missed a deadline
                    client.close()
                    with suppress(OSError):
                        clients[kind] = _connect(service, kind)

    thread = threading.Thread(target=drip)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()
        for client in clients:
            client.close()


def _connect(service: Service, kind: int) -> socket.socket:
    client = socket.socket()
    # Buffers as for a remote client: on loopback the kernel would take megabytes of a response.
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)
    client.settimeout(5)
    try:
        client.connect(("127.0.0.1", service.port))
        client.sendall(KINDS[kind % 3])
    except OSError:
        client.close()
        raise
    client.setblocking(False)
    return client
