"""A server that refuses each connection as PostgreSQL does."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def error_response(sqlstate: str, message: str) -> bytes:
    """Return the protocol's message for an error that ends the connection."""
    fields = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": message}
    body = b"".join(f"{name}{value}".encode() + b"\0" for name, value in fields.items()) + b"\0"
    return b"E" + (len(body) + 4).to_bytes(4, "big") + body


@contextmanager
def refusing(response: bytes) -> Iterator[int]:
    """Answer each connection's first message with some bytes; yield the port."""

    def serve() -> None:
        with suppress(OSError):
            while True:
                client, _ = server.accept()
                with client:
                    client.recv(1000)
                    client.sendall(response)

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield server.getsockname()[1]
        finally:
            server.shutdown(socket.SHUT_RDWR)
            thread.join()
