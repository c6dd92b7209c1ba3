"""gunicorn's threaded worker, with our error answers for requests that never reach Flask."""

import json
import logging
import select
import uuid
from http import HTTPStatus
from typing import Any

import gunicorn.glogging
from gunicorn import util
from gunicorn.workers.gthread import ThreadWorker

from .logs import REQUEST_ID

LINGER = 2  # milliseconds in which a client's next request is waited for


class Logger(gunicorn.glogging.Logger):
    """gunicorn's logger, which spares the work for access lines that nobody wants."""

    def access(self, *args: Any) -> None:
        """Log a request, where LOG_LEVEL lets it through."""
        if self.access_log.isEnabledFor(logging.INFO):
            super().access(*args)


class Worker(ThreadWorker):
    """Answers what gunicorn refuses as the service does, stops without delay, and lingers."""

    def handle(self, connection: Any) -> Any:
        """Handle a request, and those that follow at once on the same connection.

        That spares a way to the main thread and back. Nobody waits for it: as soon as another
        connection has no thread, this one goes that way.
        """
        kept = super().handle(connection)
        while kept is True and self.alive and self._goes_on(connection):
            kept = super().handle(connection)
        return kept

    def _goes_on(self, connection: Any) -> bool:
        if self.tpool._work_queue.qsize():
            return False
        poll = select.poll()
        poll.register(connection.sock, select.POLLIN)
        return bool(poll.poll(LINGER))

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
            f"{REQUEST_ID}: {uuid.uuid4().hex}\r\n\r\n"
        )
        try:
            util.write_nonblock(client, head.encode("latin1") + body)
        except OSError:
            self.log.debug("The client was gone before it could be told of its error")

    def _cap_keepalive(self, deadline: float) -> None:
        """End the connections that have sent nothing yet as early as those that are kept alive."""
        super()._cap_keepalive(deadline)
        for connection in self.pending_conns:
            connection.timeout = min(connection.timeout, deadline)


class _Recorder:
    """Takes what gunicorn would have sent to the client."""

    sent = b""

    def sendall(self, data: bytes) -> None:
        self.sent += data

    def gettimeout(self) -> float:
        return 0.0

    def setblocking(self, flag: bool) -> None:
        pass
