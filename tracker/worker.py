"""gunicorn's gevent worker with request deadlines, a quick graceful stop and JSON errors."""

import json
import os
import secrets
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http import HTTPStatus
from typing import Any, NamedTuple

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gevent.server import StreamServer
from gunicorn import util
from gunicorn.http import message
from gunicorn.http.errors import ParseException
from gunicorn.workers.base_async import AsyncWorker
from gunicorn.workers.ggevent import GeventWorker

from . import metrics
from .api.refusals import gunicorn_error
from .api.security import DEFAULT_CACHING, DEFAULT_POLICY, HEADERS
from .api.urls import ForwardedHeaders, without_ipv4_mapping
from .client_socket import STOP_LINGER, ClientSocket
from .logs import REQUEST_ID, refused_request_id

# The longest query with its cursor, path and prefix. gunicorn takes no higher limit than this
# constant: https://github.com/benoitc/gunicorn/blob/27.0.1/gunicorn/http/message.py#L513
REQUEST_LINE_MAX = message.MAX_REQUEST_LINE = 18 * 1024  # bytes
READ_STEP = 64 * 1024  # bytes between two switches to other requests


class Worker(GeventWorker):
    """Serves each connection in a greenlet.

    `run` replaces gunicorn's, which looks only once a second whether it has to stop, accepts
    connections meanwhile, and then waits for idle ones: https://github.com/benoitc/gunicorn/issues/3227
    """

    def init_process(self) -> None:
        self._stopping = Event()
        self._clients: dict[Any, ClientSocket] = {}  # by greenlet
        super().init_process()

    def init_signals(self) -> None:
        super().init_signals()
        # At Ctrl-C the master sends SIGQUIT, and when the terminal closes SIGTERM.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    def load_wsgi(self) -> None:
        super().load_wsgi()
        proxies = self.cfg.forwarded_allow_ips
        self.wsgi = ForwardedHeaders(self.wsgi, proxies)  # type: ignore[has-type]

    def run(self) -> None:
        """Serve until a signal or the master's end, then finish the requests in progress."""
        pool = Pool(self.worker_connections)
        servers = []
        for listener in self.sockets:
            address = Address(listener.getsockname())
            server = StreamServer(listener, handle=partial(self.handle, address), spawn=pool)
            if self.cfg.workers > 1:
                server.max_accept = 1  # leave further connections to other workers
            server.start()
            servers.append(server)
        while self.alive:
            self.notify()
            self._stopping.wait(1.0)
        for server in servers:
            accept_waiting(server)
            server.close()  # with no switch in between, in which others could connect
        started = time.monotonic()
        while pool and time.monotonic() - started < self.cfg.graceful_timeout:
            self.notify()
            for client in list(self._clients.values()):
                client.stop(lingers=time.monotonic() - started < STOP_LINGER)
            pool.join(timeout=0.1)
        if pool:
            self.log.warning("%d requests did not finish in time", len(pool))
        # The master may send another signal, and the interpreter's end removes the handlers.
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGQUIT})

    def notify(self) -> None:
        """Send the heartbeat to the master; stop if the master is gone."""
        metrics.sample()
        self.tmp.notify()
        if self.ppid != os.getppid():
            self.log.info("Master is gone, stopping")
            self.alive = False

    def handle_exit(self, sig: int, frame: Any) -> None:
        super().handle_exit(sig, frame)
        self._stopping.set()

    def handle(self, listener: Any, client: Any, addr: Any) -> None:
        """Serve a connection. GeventWorker's own method only removes the socket's timeout."""
        self._clients[gevent.getcurrent()] = bounded = ClientSocket(client, self.cfg.keepalive)
        try:
            AsyncWorker.handle(self, listener, bounded, without_ipv4_mapping(addr))
        finally:
            del self._clients[gevent.getcurrent()]

    @contextmanager
    def timeout_ctx(self) -> Iterator[None]:
        """Bound the time to wait for a request and to read its head."""
        gevent.sleep(0)  # pipelined requests would otherwise hold up all others
        client = self._clients[gevent.getcurrent()]
        client.expect_head()
        yield
        client.expect_body()

    def handle_request(self, listener_name: Any, req: Any, sock: Any, addr: Any) -> Any:
        """Serve a request, then read the rest of its body: a reset would discard the response."""
        try:
            return super().handle_request(listener_name, req, sock, addr)
        finally:
            with suppress(OSError, ParseException):  # the client ends, or sends no valid body
                sock.flush()
                while req.body.read(READ_STEP):
                    gevent.sleep(0)

    def handle_error(self, req: Any, client: Any, addr: Any, exc: BaseException) -> None:
        """Send gunicorn's own errors as JSON.

        gunicorn logs the error and chooses the status in the method that writes its HTML.
        """
        recorder = _Recorder()
        request_id = secrets.token_hex(16)
        context = refused_request_id.set(request_id)  # for the lines that gunicorn logs
        try:
            super().handle_error(req, recorder, addr, exc)
        finally:
            refused_request_id.reset(context)
        status = HTTPStatus(int(recorder.sent.split(b" ", 2)[1]))
        body = json.dumps(gunicorn_error(status, exc)).encode()
        headers = [
            ("Connection", "close"),
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            (REQUEST_ID, request_id),
            DEFAULT_CACHING,
            DEFAULT_POLICY,
            *HEADERS,
        ]
        lines = [f"HTTP/1.1 {status} {status.phrase}", *map(": ".join, headers)]
        head = "\r\n".join([*lines, "", ""])
        try:
            util.write_nonblock(client, head.encode("latin1") + body)
            util.close_graceful(client)  # a reset would discard the response on its way
        except OSError:
            self.log.debug("Client closed the connection before the error response")


class Address(NamedTuple):
    """The address of a listener, which a handler may read after the listener is closed."""

    name: Any

    def getsockname(self) -> Any:
        return self.name


def accept_waiting(server: Any) -> None:
    """Accept the connections in the listener's queue: closing it would reset them."""
    while not server.full() and (accepted := server.do_read()):
        server.do_handle(*accepted)


class _Recorder:
    """Records what gunicorn would have sent to the client."""

    sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, flag: bool) -> None:
        pass

    def shutdown(self, how: int) -> None:
        raise OSError

    def close(self) -> None:
        pass
