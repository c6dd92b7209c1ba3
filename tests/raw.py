"""Raw HTTP over sockets: requests in parts, and responses byte by byte."""

import json
import socket
import time
from contextlib import ExitStack, closing

from helpers import PATIENCE, Service

LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
QUICK = 1.0  # seconds; far less than the waits of other requests


def connect(service: Service, stack: ExitStack) -> socket.socket:
    """Open a connection that the stack closes."""
    address = ("127.0.0.1", service.port)
    return stack.enter_context(closing(socket.create_connection(address, timeout=PATIENCE)))


def read_response(client: socket.socket) -> bytes:
    """Read one response, and no byte beyond it."""
    received = b""
    while b"\r\n\r\n" not in received:
        byte = client.recv(1)
        assert byte, received
        received += byte
    length = int(received.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while length:
        body = client.recv(length)
        assert body, received
        received += body
        length -= len(body)
    return received


def status(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def request(method: str, path: str, body: object = None) -> bytes:
    """Return a request, with a JSON body if there is one."""
    content = b"" if body is None else json.dumps(body).encode()
    head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
    if content:
        head += f"Content-Type: application/json\r\nContent-Length: {len(content)}\r\n"
    return f"{head}\r\n".encode() + content


def live_seconds(service: Service) -> float:
    """Return how long a health check takes."""
    started = time.monotonic()
    assert service.answers()
    return time.monotonic() - started
