"""A pool of PostgreSQL connections on which no request waits for long, whatever the server does."""

import select
import time
from queue import Empty, SimpleQueue
from typing import Any

import psycopg2
import psycopg2.extensions
from peewee import PostgresqlDatabase, __exception_wrapper__  # type: ignore[attr-defined]
from psycopg2.extensions import POLL_OK, POLL_READ, STATUS_SETUP, TRANSACTION_STATUS_IDLE

from tracker import waiting

CONNECT_TIMEOUT = 3  # seconds
ANSWER_TIMEOUT = 7.0  # seconds; longer than a server that is well lets a statement run
PAUSE = 1.0  # seconds without a new attempt after one to connect timed out
QUICK = 1  # milliseconds in which most statements are answered


class Connection(psycopg2.extensions.connection):
    """A connection on which each statement has to be answered in time."""

    patience = ANSWER_TIMEOUT

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepared: set[str] = set()  # the names of statements that the server has planned
        self.due = ""  # what the next statement is to be sent with
        poll = select.poll()
        poll.register(self.fileno(), select.POLLIN)
        # Tells whether the server has sent something, or does within so many milliseconds.
        self.incoming = poll.poll


def wait(connection: psycopg2.extensions.connection) -> None:
    """Wait for the server to connect or to answer, for psycopg2's `set_wait_callback`.

    The server's own statement_timeout can't help where the server itself hangs.

    Raises:
        psycopg2.OperationalError: it took too long; psycopg2 then closes the connection.
    """
    connecting = connection.status == STATUS_SETUP
    state = connection.poll()
    if isinstance(connection, Connection) and not connecting:
        while state == POLL_READ and connection.incoming(QUICK):
            state = connection.poll()
        if state == POLL_OK:
            return
        waiting.step_aside()
    patience = CONNECT_TIMEOUT if connecting else getattr(connection, "patience", None)
    deadline = patience and time.monotonic() + patience
    while state != POLL_OK:
        poll = select.poll()
        poll.register(connection.fileno(), select.POLLIN if state == POLL_READ else select.POLLOUT)
        if not poll.poll(deadline and max(deadline - time.monotonic(), 0) * 1000):
            raise psycopg2.OperationalError("the server does not answer")
        state = connection.poll()


class PoolExhausted(Exception):
    """All connections are lent, and none came back in time."""


class Pool(PostgresqlDatabase):
    """A database of which each thread borrows a connection, and gives it back.

    It has `max_connections` at most; who finds them all lent waits for one, `timeout` seconds at
    most. A transaction begins with its first statement, in one message: a way to the server less.
    Outside of one each statement is a transaction by itself.
    """

    _state: Any  # what each thread has borrowed
    _connect: Any  # opens a connection

    def init(
        self,
        database: str | None,
        *args: Any,
        max_connections: int = 0,
        timeout: float = 0,
        **kwargs: Any,
    ) -> None:
        """Point the pool at a server. No I/O."""
        self._max_connections = max_connections
        self._timeout = timeout
        self._places: SimpleQueue[None] = SimpleQueue()  # as many as may still be lent
        for _ in range(max_connections):
            self._places.put(None)
        self._idle: list[Connection] = []  # the last one used is the first to be used again
        self._resume = 0.0  # when to try again to connect
        super().init(database, *args, **kwargs)

    def connect(self, reuse_if_open: bool = False) -> bool:
        """Borrow a connection for this thread, unless it has one.

        Raises:
            PoolExhausted: none came back in time.
            OperationalError: the server can't be reached.
        """
        if not self._state.closed:
            return False
        try:
            self._places.get(timeout=self._timeout)
        except Empty:
            raise PoolExhausted from None
        try:
            self._state.set_connection(self._find() or self._open())
        except BaseException:
            self._places.put(None)
            raise
        return True

    def close(self) -> bool:
        """Give this thread's connection back."""
        if self._state.closed:
            return False
        connection = self._state.conn
        self._state.reset()
        if connection.get_transaction_status() == TRANSACTION_STATUS_IDLE:
            self._idle.append(connection)
        else:  # it is broken, or in no state for somebody else
            connection.close()
        self._places.put(None)
        return True

    def is_broken(self) -> bool:
        """Tell whether the connection that this thread has borrowed has come to its end."""
        return not self._state.closed and bool(self._state.conn.closed)

    def close_idle(self) -> None:
        """End the connections that are not lent."""
        while connection := self._pop():
            connection.close()

    def close_all(self) -> None:
        """End the connections that are not lent to other threads."""
        self.close_idle()
        if not self._state.closed:
            self._state.conn.close()
            self.close()

    @property
    def lent(self) -> int:
        """How many connections are borrowed now."""
        return self._max_connections - self._places.qsize()

    def _find(self) -> Connection | None:
        """Take an idle connection on which nothing has come: that could only be news of its end."""
        while connection := self._pop():
            if not connection.closed and not connection.incoming(0):
                return connection
            connection.close()
        return None

    def _pop(self) -> Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def _open(self) -> Any:
        started = time.monotonic()
        with __exception_wrapper__:
            if started < self._resume:  # nobody else need wait for the same host too
                raise psycopg2.OperationalError("the server did not answer just now")
            try:
                return self._connect()
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
        with __exception_wrapper__:
            cursor = connection.cursor()
            cursor.execute(due + sql, params or ())
        return cursor

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
