"""A client's connection as gunicorn's worker sees it."""

import time
from contextlib import suppress
from errno import EPIPE
from socket import SHUT_RD
from typing import Any

from gevent.socket import socket

HEAD_TIMEOUT = 10.0  # seconds from a request's first byte to the end of its head
BODY_TIMEOUT = 30.0  # seconds for the whole body
WRITE_TIMEOUT = 30.0  # seconds for each write
STOP_LINGER = 2.0  # seconds for which a stopping worker waits for a request head


class ClientSocket(socket):
    """A client's connection with a deadline for each phase of a request.

    A client that misses a deadline is treated as one that has closed the connection.
    """

    def __init__(self, client: socket, keepalive: float) -> None:
        super().__init__(client.family, client.type, client.proto, fileno=client.detach())
        self._keepalive = keepalive
        self._stopped = self._expired = False
        self._head = b""
        self.settimeout(WRITE_TIMEOUT)
        self.expect_head()

    def expect_head(self) -> None:
        """Wait `keepalive` seconds for the first byte, then HEAD_TIMEOUT for the head."""
        self._phase = "idle"
        self._deadline = time.monotonic() + self._keepalive

    def expect_body(self, seconds: float | None = None) -> None:
        """Wait BODY_TIMEOUT or so many seconds for the body."""
        self._phase = "body"
        self._deadline = time.monotonic() + (seconds or BODY_TIMEOUT)

    def recv(self, *args: Any) -> bytes:
        if self._phase == "body" and time.monotonic() >= self._deadline:
            self._expired = True
        if self._expired:  # for good: the rest of a body is no next request
            return b""
        self.settimeout(max(self._deadline - time.monotonic(), 0.001))
        try:
            data: bytes = super().recv(*args)
        except TimeoutError:
            self._expired = True
            return b""
        except OSError:
            if not self._stopped:
                raise
            data = super().recv(*args)  # `stop` cancels the wait; what has arrived can be read
        finally:
            self.settimeout(WRITE_TIMEOUT)
        if self._phase == "idle":
            self._phase = "head"
            self._deadline = time.monotonic() + HEAD_TIMEOUT
        return data

    def sendall(self, data: Any, flags: int = 0) -> None:
        """Send data, but the head of a response only with what follows it.

        gunicorn sends both apart. If it was killed in between, a proxy could not send the request
        to another instance: its client would have had the head already.
        """
        if not self._head and data.startswith(b"HTTP/1.1 ") and data.endswith(b"\r\n\r\n"):
            self._head = data
            return
        head, self._head = self._head, b""
        super().sendall(head + data, flags)

    def sendfile(self, *args: Any, **kwargs: Any) -> int:
        self.flush()
        return int(super().sendfile(*args, **kwargs))

    def flush(self) -> None:
        """Send a head that nothing follows."""
        if self._head:
            self.sendall(b"")

    def send(self, *args: Any, **kwargs: Any) -> int:
        try:
            return int(super().send(*args, **kwargs))
        except TimeoutError:  # gunicorn would log it as an error of ours
            raise BrokenPipeError(EPIPE, "the client does not read") from None

    def stop(self, *, lingers: bool) -> None:
        """Read nothing more from an idle connection, nor a head unless the worker `lingers`.

        A client that got a response, or connected, a moment ago has most likely sent a request:
        closing the connection now would leave it without a response.
        """
        idle_seconds = time.monotonic() - (self._deadline - self._keepalive)
        if (self._phase == "idle" and idle_seconds >= STOP_LINGER) or (
            self._phase == "head" and not lingers
        ):
            self._stopped = True
            with suppress(OSError):  # the client has closed it
                self.shutdown(SHUT_RD)
