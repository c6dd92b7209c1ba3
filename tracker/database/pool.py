"""Pool of PostgreSQL connections in which every wait is bounded."""

import select
import time
from contextlib import nullcontext
from queue import Empty, LifoQueue
from typing import Any

import psycopg2
import psycopg2.extensions
from gevent import get_hub, monkey
from gevent.socket import wait_read, wait_write
from peewee import PostgresqlDatabase
from psycopg2.extensions import POLL_OK, POLL_READ, STATUS_SETUP, TRANSACTION_STATUS_IDLE

CONNECT_TIMEOUT = 3  # seconds
RESPONSE_TIMEOUT = 7.0  # seconds for a statement; longer than a healthy server's own limit
CONNECT_COOLDOWN = 1.0  # seconds without a new attempt after a connect timed out
LOCK_TIMEOUT = 2_000  # milliseconds; less than CHECKOUT_TIMEOUT, so that others outwait a lock
STATEMENT_TIMEOUT = 5_000  # milliseconds
# A role, a database or a URL can have others. They are set by statements, since poolers refuse
# or drop startup options.
SESSION_SETTINGS = f"""
    SET lock_timeout = {LOCK_TIMEOUT};
    SET statement_timeout = {STATEMENT_TIMEOUT};
    SET idle_in_transaction_session_timeout = {STATEMENT_TIMEOUT};
    SET default_transaction_isolation = 'read committed';
    SET timezone = 'UTC';
    SET datestyle = 'ISO, YMD';
"""

native_poll = monkey.get_original("select", "poll")  # a look, not a wait: no greenlet switch


class Connection(psycopg2.extensions.connection):
    """A connection that knows its prepared statements, and whether a BEGIN is due."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prepared: set[str] = set()
        self.begin_pending = False

    def has_input(self) -> bool:
        """Return whether the server has sent something that nobody has read."""
        poll = native_poll()
        poll.register(self.fileno(), select.POLLIN)
        return bool(poll.poll(0))


def use_gevent() -> None:
    """Let other greenlets run while one waits for PostgreSQL, in this whole process.

    https://www.psycopg.org/docs/advanced.html#support-for-coroutine-libraries
    """
    psycopg2.extensions.set_wait_callback(wait)


def wait(connection: psycopg2.extensions.connection) -> None:
    """Wait for the server to accept the connection or to answer a statement.

    The server's statement_timeout does not help where the server itself hangs.

    Raises:
        ResponseTimeout: it took too long; psycopg2 then closes the connection.
    """
    connecting = connection.status == STATUS_SETUP
    deadline = time.monotonic() + (CONNECT_TIMEOUT if connecting else RESPONSE_TIMEOUT)
    while (state := connection.poll()) != POLL_OK:
        wait_for_socket = wait_read if state == POLL_READ else wait_write
        try:
            wait_for_socket(
                connection.fileno(),
                timeout=max(deadline - time.monotonic(), 0),
                timeout_exc=ResponseTimeout("the server does not respond"),
            )
        except ResponseTimeout:
            if not connecting:
                # In a native thread: libpq waits for the server without our callback.
                get_hub().threadpool.spawn(connection.cancel)
            raise


class ResponseTimeout(psycopg2.OperationalError):
    """The server did not respond in time; the connection is closed."""


class PoolExhausted(Exception):
    """No connection was returned to the pool in time."""


class Pool(PostgresqlDatabase):
    """A Peewee database that keeps up to `size` connections open.

    Peewee's own pool keeps a lock while it opens a connection, and sends a statement at each
    checkout: https://github.com/coleifer/peewee/blob/4.5.3/playhouse/pool.py#L88
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Database.connect() and close() hold this lock, whatever the network takes; the state
        # that they change is local to a thread or greenlet:
        # https://github.com/coleifer/peewee/blob/4.5.3/peewee.py#L3838
        self._lock = nullcontext()

    def init(  # type: ignore[override]
        self, database: str | None, *, size: int = 1, timeout: float = 0, **kwargs: Any
    ) -> None:
        """Set the server, the number of connections, and the seconds to wait for one. No I/O."""
        self._timeout = timeout
        # Last in, first out: the most recently used connection is used first. None stands for
        # one that is not open.
        self._connections: LifoQueue[Connection | None] = LifoQueue()
        for _ in range(size):
            self._connections.put(None)
        self._resume_at = 0.0
        super().init(database, connection_factory=Connection, **kwargs)

    def _connect(self) -> Any:
        """Check out a connection.

        Raises:
            PoolExhausted: none was returned in time.
            psycopg2.OperationalError: the server cannot be reached.
        """
        try:
            connection = self._connections.get(timeout=self._timeout)
        except Empty:
            raise PoolExhausted from None
        if connection and not connection.closed:
            if not connection.has_input():
                return connection
            connection.close()  # an idle server only speaks to say goodbye
        try:
            return self._open()
        except BaseException:
            self._connections.put(None)
            raise

    def _close(self, connection: Any) -> None:
        """Return a connection; one that is not idle is broken or in an unknown state."""
        if connection.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            connection.close()
        self._connections.put(None if connection.closed else connection)

    def _open(self) -> Any:
        started = time.monotonic()
        if started < self._resume_at:
            raise psycopg2.OperationalError("the server did not respond a moment ago")
        try:
            connection = super()._connect()  # type: ignore[misc]
            with connection.cursor() as cursor:
                cursor.execute(SESSION_SETTINGS)
        except psycopg2.OperationalError:
            if time.monotonic() - started >= CONNECT_COOLDOWN:
                self._resume_at = time.monotonic() + CONNECT_COOLDOWN
            raise
        return connection

    def begin(self, isolation_level: Any = None) -> None:
        """Begin a transaction together with the next statement: that saves a round trip."""
        if isolation_level is None:
            self.connection().begin_pending = True
        else:
            super().begin(isolation_level)

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Execute a statement, and return its cursor."""
        connection = self.connection()
        if connection.begin_pending:
            connection.begin_pending = False
            sql = f"BEGIN; {sql}"
        return super().execute_sql(sql, params)  # type: ignore[no-untyped-call]

    def commit(self) -> None:
        """Commit the transaction, if a statement has begun it."""
        if self.connection().begin_pending:
            self.connection().begin_pending = False
        else:
            super().commit()

    def rollback(self) -> None:
        """Roll back the transaction, if a statement has begun it."""
        if self.connection().begin_pending:
            self.connection().begin_pending = False
        else:
            super().rollback()

    def close_idle(self) -> None:
        """Close the connections that are not checked out."""
        for _ in range(self._connections.qsize()):
            try:
                connection = self._connections.get_nowait()
            except Empty:
                return
            if connection:
                connection.close()
            self._connections.put(None)
