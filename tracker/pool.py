"""A pool of PostgreSQL connections on which no request waits for long, whatever the server does."""

import select
import time
from typing import Any

import psycopg2
import psycopg2.extensions
from playhouse.pool import PooledPostgresqlDatabase
from psycopg2.extensions import POLL_OK, POLL_READ, STATUS_SETUP

CONNECT_TIMEOUT = 3  # seconds
ANSWER_TIMEOUT = 7.0  # seconds; longer than a server that is well lets a statement run
PAUSE = 1.0  # seconds without a new attempt after one to connect timed out
QUICK = 0.001  # seconds in which most statements are answered


def on_wait() -> None:
    """Do nothing, once a statement takes its time; gunicorn's worker puts its own in this place."""


class Connection(psycopg2.extensions.connection):
    """A connection on which each statement has to be answered in time."""

    patience = ANSWER_TIMEOUT

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepared: set[str] = set()  # the names of statements that the server has planned
        self.due = ""  # what the next statement is to be sent with


def wait(connection: psycopg2.extensions.connection) -> None:
    """Wait for the server to connect or to answer, for psycopg2's `set_wait_callback`.

    The server's own statement_timeout can't help where the server itself hangs.

    Raises:
        psycopg2.OperationalError: it took too long; psycopg2 then closes the connection.
    """
    connecting = connection.status == STATUS_SETUP
    patience = CONNECT_TIMEOUT if connecting else getattr(connection, "patience", None)
    deadline = patience and time.monotonic() + patience
    while (state := connection.poll()) != POLL_OK:
        if state == POLL_READ and not connecting:
            if _ready(connection, select.POLLIN, QUICK):
                continue
            on_wait()
        remaining = deadline and max(deadline - time.monotonic(), 0)
        if not _ready(
            connection, select.POLLIN if state == POLL_READ else select.POLLOUT, remaining
        ):
            raise psycopg2.OperationalError("the server does not answer")


def _ready(connection: psycopg2.extensions.connection, events: int, timeout: float | None) -> bool:
    poll = select.poll()
    poll.register(connection.fileno(), events)
    return bool(poll.poll(None if timeout is None else timeout * 1000))


class Pool(PooledPostgresqlDatabase):
    """Peewee's pool, with a look at a connection for a ping, and no queue to a dead host.

    A transaction begins with its first statement, in one message: a way to the server less.
    """

    def init(self, *args: Any, **kwargs: Any) -> None:
        """Point the pool at another database."""
        self._resume = 0.0  # when to try again to connect
        super().init(*args, **kwargs)  # type: ignore[no-untyped-call]

    def _is_closed(self, connection: Any) -> bool:
        # Nothing is due on an idle connection: what can be read from it is the news of its end.
        return bool(connection.closed) or _ready(connection, select.POLLIN, 0)

    def _connect(self) -> Any:
        # Peewee connects under a lock. Those who waited for it must not each wait for the host too.
        with self._pool_lock:
            started = time.monotonic()
            if started < self._resume and not self._connections:
                raise psycopg2.OperationalError("the server did not answer just now")
            try:
                return super()._connect()
            except psycopg2.OperationalError:
                if time.monotonic() - started >= PAUSE:
                    self._resume = time.monotonic() + PAUSE
                raise

    def begin(self, isolation_level: Any = None) -> None:
        """Have the next statement begin a transaction."""
        if isolation_level is None:
            self.connection().due = "BEGIN; "
        else:
            super().begin(isolation_level)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Run a statement, and give its cursor."""
        connection = self.connection()
        due, connection.due = connection.due, ""
        return super().execute_sql(due + sql, params)  # type: ignore[no-untyped-call]

    def commit(self) -> None:
        """End the transaction, if a statement has begun it."""
        if not self._is_due():
            super().commit()

    def rollback(self) -> None:
        """Undo the transaction, if a statement has begun it."""
        if not self._is_due():
            super().rollback()

    def _is_due(self) -> bool:
        connection = self.connection()
        due, connection.due = connection.due, ""
        return bool(due)
