"""Pool of PostgreSQL connections."""

import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from queue import Empty, LifoQueue
from typing import Any

import psycopg2
from peewee import PostgresqlDatabase
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from ..metrics import POOL_WAITS
from .driver import (
    CONNECT_TIMEOUT,
    SETTINGS,
    Connection,
    connect,
    has_input,
    resolve,
    session_settings,
    split_hosts,
    transaction_settings,
)

CONNECT_COOLDOWN = 1.0  # seconds without a new attempt after a connect timed out


class PoolExhausted(Exception):
    """No connection was returned to the pool in time."""


@dataclass
class Host:
    """One of the hosts of a URL; `resume_at` is not 0 since it did not respond."""

    parameters: dict[str, str]
    resume_at: float = 0.0  # when to connect again, by time.monotonic()


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
        self,
        database: str | None,
        *,
        size: int = 1,
        timeout: float = 0,
        keeps_session: bool = True,
        session: dict[str, str] = SETTINGS,
        **kwargs: Any,
    ) -> None:
        """Set the server, the number of connections, and the seconds to wait for one. No I/O.

        `session` are settings of PostgreSQL. Behind a pooler in transaction mode, a connection
        keeps no session: then they are sent with each transaction, and nothing can be prepared.
        """
        self.keeps_session = keeps_session
        self._session_statements = session_settings(session) if keeps_session else ""
        self._transaction_statements = "" if keeps_session else transaction_settings(session)
        self._timeout = timeout
        self.size = size
        # Last in, first out: the most recently used connection is used first. None stands for
        # one that is not open.
        self._connections: LifoQueue[Connection | None] = LifoQueue()
        for _ in range(size):
            self._connections.put(None)
        self._hosts = [Host(parameters) for parameters in split_hosts(kwargs)]
        self.connect_params = {}  # Peewee would keep those of an earlier server
        super().init(database, **kwargs)

    def _connect(self) -> Any:
        """Check out a connection.

        Raises:
            PoolExhausted: none was returned in time.
            psycopg2.OperationalError: the server cannot be reached.
        """
        try:
            connection = self._connections.get_nowait()
        except Empty:
            connection = self._wait_for_connection()
        if connection and not connection.closed:
            if not has_input(connection):
                return connection
            connection.close()  # input on an idle connection means that the server has closed it
        try:
            return self._open()
        except BaseException:
            self._connections.put(None)
            raise

    def _wait_for_connection(self) -> Connection | None:
        if self._timeout:  # a read that finds no connection to the standby goes to the primary
            POOL_WAITS.inc()
        try:
            return self._connections.get(timeout=self._timeout)
        except Empty:
            raise PoolExhausted from None

    def _close(self, connection: Any) -> None:
        """Return a connection; one that is not idle is broken or in an unknown state."""
        if connection.get_transaction_status() != TRANSACTION_STATUS_IDLE:
            connection.close()
        self._connections.put(None if connection.closed else connection)

    def _open(self) -> Connection:
        """Open a connection to the first host that accepts one, beginning with the last good one.

        Raises:
            psycopg2.OperationalError: none does, or none did a moment ago.
        """
        error = psycopg2.OperationalError("the server did not respond a moment ago")
        for host in list(self._hosts):
            started = time.monotonic()
            if started < host.resume_at:
                continue
            if host.resume_at:  # one request at a time waits for it, and the others do not
                host.resume_at = started + CONNECT_TIMEOUT + CONNECT_COOLDOWN
            try:
                connection = self._open_at(host.parameters)
            except psycopg2.OperationalError as failure:
                error = failure
                silent = time.monotonic() - started >= CONNECT_COOLDOWN
                host.resume_at = time.monotonic() + CONNECT_COOLDOWN if silent else 0.0
            else:
                host.resume_at = 0.0
                self._hosts = [host, *(other for other in self._hosts if other is not host)]
                return connection
        raise error

    def _open_at(self, host: dict[str, Any]) -> Connection:
        *others, last = resolve(host | {"dbname": self.database, **self.connect_params})
        for parameters in others:
            with suppress(psycopg2.OperationalError):
                return connect(parameters, self._session_statements)
        return connect(last, self._session_statements)

    def begin(self, isolation_level: str | None = None) -> None:
        """Begin a transaction together with the next statement: that saves a round trip."""
        if isolation_level is None:
            self.connection().begin_pending = True
        else:
            self.execute_sql(f"BEGIN ISOLATION LEVEL {isolation_level}")

    def execute_sql(self, sql: str, params: Any = None) -> Any:
        """Execute a statement, and return its cursor.

        Statements in one message are one transaction, so they reach the same session.
        """
        connection = self.connection()
        if (
            self._transaction_statements
            and connection.get_transaction_status() == TRANSACTION_STATUS_IDLE
        ):
            sql = self._transaction_statements + sql
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

    def in_use(self) -> int:
        """Return the number of connections that are checked out."""
        return self.size - self._connections.qsize()

    @contextmanager
    def checked_out_from(self, other: "Pool") -> Iterator[None]:
        """Execute the block's statements on a connection of another pool.

        Models and compiled queries belong to this database, so the connection is set in its
        state: https://github.com/coleifer/peewee/blob/4.5.3/peewee.py#L3710
        """
        with other.connection_context():
            self._state.set_connection(other.connection())  # type: ignore[attr-defined]
            try:
                yield
            finally:
                self._state.reset()  # type: ignore[attr-defined]

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
