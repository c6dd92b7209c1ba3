"""gunicorn's worker: which thread serves, and our answers where a request never reaches Flask."""

import json
import logging
import secrets
import selectors
import socket
import threading
import time
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import gunicorn.glogging
from gunicorn import util
from gunicorn.workers.gthread import STOP_KEEPALIVE_LINGER, ThreadWorker

from tracker import waiting
from tracker.logs import REQUEST_ID
from tracker.tasks import loader as batch
from tracker.tasks.loader import Batch

LINGER = 0.002  # seconds for which a thread that has handled a request waits for the next
TOGETHER = 16  # requests that have come, and may be read for together
BREAK = 0.001  # seconds between two connections that are accepted
LOOK = 0.1  # seconds between two looks at the connections of a worker that stops
TICK = 0.05  # seconds after which a request is held to wait for something without telling so
# As numbers: to join flags of Python's takes longer than to receive what has come.
AT_ONCE = int(socket.MSG_DONTWAIT)
LOOK_AHEAD = int(socket.MSG_DONTWAIT | socket.MSG_PEEK)


class Logger(gunicorn.glogging.Logger):
    """gunicorn's logger, which spares the work for access lines that nobody wants."""

    def access(self, *args: Any) -> None:
        """Log a request, where LOG_LEVEL lets it through."""
        if self.access_log.isEnabledFor(logging.INFO):
            super().access(*args)


class Worker(ThreadWorker):
    """Serves its connections in one thread, as long as no request makes that thread wait.

    Whichever thread has the turn handles the requests that have come, one after the other, on all
    connections: threads that run at once would only take the interpreter from each other. When it
    has to wait, for PostgreSQL, GitHub or a slow client, the turn goes to another thread.
    """

    def init_process(self) -> None:
        """Start to work, in the worker's own process."""
        self._idle = selectors.DefaultSelector()  # connections on which no request is handled
        self._turn: object = None  # whoever has this token handles what comes
        self._watched = False  # whether the main thread waits for what comes
        self._request: object = None  # whatever is handled in this turn
        self._since: tuple[object, float] = (None, 0.0)  # when the main thread first saw it
        self._local = threading.local()
        waiting.step_aside = self._step_aside
        super().init_process()

    def enqueue_req(self, connection: Any) -> None:
        """Wait for a request on a new connection; no thread is needed for that."""
        connection.sock = _Client(connection.sock)
        connection.data_ready = True  # by the time that it is handled
        self._keep(connection)

    def accept(self, listener: Any) -> None:
        """Accept a connection; the next one is left to a worker that has none, for a moment."""
        super().accept(listener)
        if self.nr_conns > 1:
            time.sleep(BREAK)
        idle = self._connections() if self.nr_conns >= self.worker_connections else []
        if len(idle) > 1:  # the one that is idle for longest makes room for the next
            self._end(min(idle, key=lambda connection: connection.timeout))

    def wait_for_and_dispatch_events(self, timeout: float) -> None:
        """Do the main thread's work, and see to it that requests are handled by another."""
        if not self.alive:
            timeout = min(timeout, LOOK)
        if self._turn is not None:
            timeout = min(timeout, TICK)
        elif not self._watched:
            self._watched = True
            self.poller.register(self._idle.fileno(), selectors.EVENT_READ, self._begin)
        super().wait_for_and_dispatch_events(timeout)
        request, since = self._since
        if request is None or request is not self._request:
            self._since = (self._request, time.monotonic())
        elif time.monotonic() - since >= TICK:
            self._pass_on()

    def _begin(self, _: Any) -> None:
        self.poller.unregister(self._idle.fileno())
        self._watched = False
        self._pass_on()

    def _step_aside(self) -> None:
        """Have another thread handle what comes, if it is this one that should."""
        turn = getattr(self._local, "turn", None)
        if turn is not None and turn is self._turn:
            self._pass_on()

    def _pass_on(self) -> None:
        self._request = None
        self._turn = turn = object()
        self.tpool.submit(self._serve, turn)

    def _serve(self, turn: object) -> None:
        """Handle what comes, until nothing does for a moment or the turn has gone."""
        self._local.turn = turn
        try:
            while self._turn is turn and (found := self._idle.select(LINGER)):
                ready = [key.data for key, _ in found[:TOGETHER]]
                _gather(ready)
                for place in ready:
                    if self._turn is turn and (taken := self._take(place.connection)):
                        self._request = turn, taken
                        self._handle_all(taken.connection, taken.batch)
                        if self._turn is turn:
                            self._request = None
        finally:
            if self._turn is turn:
                self._turn = None
                self.method_queue.defer(int)  # nothing but to wake the main thread

    def _handle_all(self, connection: Any, shared: Batch | None) -> None:
        """Handle a request, which may be one of a batch, and those that have come behind it."""
        batch.current.set(shared)
        kept = self.handle(connection)
        batch.current.set(None)
        while kept and connection.parser.unreader.buf.getvalue():
            kept = self.handle(connection)
        if kept:
            self._keep(connection)
        else:
            self.tpool.submit(self._close, connection)  # it waits for the client's end of it

    def _keepalive_after(self, conn: Any, keepalive: bool) -> bool:
        """Read what is left of a request's body, if there is any."""
        if keepalive and getattr(conn.parser.mesg.body.reader, "length", None) == 0:
            return True  # gunicorn's look for it takes four system calls
        return bool(super()._keepalive_after(conn, keepalive))

    def _keep(self, connection: Any) -> None:
        connection.set_timeout()
        if not self.alive:
            connection.timeout = min(connection.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)
        self._idle.register(connection.sock, selectors.EVENT_READ, _Idle(connection))

    def _take(self, connection: Any) -> "_Idle | None":
        """Take the connection from the idle ones, unless another thread has."""
        try:
            taken: _Idle = self._idle.unregister(connection.sock).data
        except KeyError:
            return None
        return taken

    def _end(self, connection: Any) -> None:
        """Close the connection, unless a request has come on it."""
        if self._take(connection):
            self._close(connection, graceful=False)

    def _close(self, connection: Any, graceful: bool = True) -> None:
        connection.close(graceful)
        self.method_queue.defer(self._forget)

    def _forget(self) -> None:
        self.nr_conns -= 1

    def murder_keepalived(self, force: bool = False) -> None:
        """Close the connections that have been idle for too long."""
        now = time.monotonic()
        for connection in self._connections():
            if force or connection.timeout <= now:
                self._end(connection)

    def _cap_keepalive(self, deadline: float) -> None:
        for connection in self._connections():
            connection.timeout = min(connection.timeout, deadline)

    def _connections(self) -> list[Any]:
        """List the idle connections."""
        numbers = list(self._idle.get_map())  # at once: other threads take and keep some meanwhile
        found = [self._idle.get_map().get(number) for number in numbers]
        return [key.data.connection for key in found if key]

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Have gunicorn log the error and choose its status, and send our answer."""
        recorder = _Recorder()
        super().handle_error(req, recorder, addr, exc)
        status = HTTPStatus(int(recorder.sent.split(b" ", 2)[1]))
        message = "The request could not be read." if status < 500 else status.description
        body = json.dumps({"code": status, "status": status.phrase, "message": message}).encode()
        head = (
            f"HTTP/1.1 {status} {status.phrase}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"{REQUEST_ID}: {secrets.token_hex(16)}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, head.encode("latin1") + body)
        except OSError:
            self.log.debug("The client was gone before it could be told of its error")


class _Client(socket.socket):
    """A client's end of a connection, which hands the turn on before it makes a thread wait."""

    def __init__(self, other: socket.socket) -> None:
        super().__init__(other.family, other.type, other.proto, fileno=other.detach())

    def recv(self, size: int, flags: int = 0) -> bytes:
        try:
            return super().recv(size, flags | AT_ONCE)
        except BlockingIOError:
            waiting.step_aside()
            return super().recv(size, flags)

    def sendall(self, data: Any, flags: int = 0) -> None:
        try:
            sent = super().send(data, flags | AT_ONCE)
        except BlockingIOError:
            sent = 0
        if sent < len(data):
            waiting.step_aside()
            super().sendall(memoryview(data)[sent:], flags)


@dataclass(slots=True)
class _Idle:
    """A connection from one request to the next, and the batch which that one is of."""

    connection: Any
    batch: Batch | None = None


def _gather(ready: list[_Idle]) -> None:
    """Make a batch of the requests that have come to read one task each, and are of none yet."""
    new = [place for place in ready if not place.batch]
    if len(new) > 1:
        heads = [(place, _peek(place.connection.sock)) for place in new]
        asked = [(place, found) for place, head in heads if (found := batch.foresee(head))]
        shared = Batch(task_id for _, task_id in asked)
        for place, _ in asked:
            place.batch = shared


def _peek(client: socket.socket) -> bytes:
    """Give what a client has sent, or its start; it stays to be received."""
    try:
        return socket.socket.recv(client, batch.HEAD_MAX, LOOK_AHEAD)
    except OSError:
        return b""


class _Recorder:
    """Takes what gunicorn would have sent to the client."""

    sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, flag: bool) -> None:
        pass
