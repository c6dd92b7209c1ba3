"""Reads from a standby of PostgreSQL, as long as it has every write that was acknowledged."""

import logging
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from functools import cache, wraps
from threading import Lock, Thread
from typing import NamedTuple

from peewee import PeeweeException, RawQuery

from ..causes import describe
from ..config import Settings
from ..errors import DatabaseUnavailable
from .compiled import CompiledQuery, Parameter
from .connection import P, T, connection, database, init_pool, new_pool, translated_errors
from .driver import CONNECT_TIMEOUT, SETTINGS
from .pool import Pool, PoolExhausted

# Shorter than the deadline for a response, so that PostgreSQL ends a slow statement itself.
SESSION = SETTINGS | {"statement_timeout": "2500"}  # milliseconds
REPLAY_PAUSES = (0.001, 0.002, 0.004, 0.008, 0.016, 0.032)  # seconds; a read waits for all of them
CHECK_INTERVAL = 3.0  # seconds between two checks of a standby that is not used

# What an acknowledged commit has written is flushed. A server in recovery has no position.
POSITION = """
SELECT left(pg_walfile_name(lsn), 8), lsn::text
FROM (SELECT CASE WHEN NOT pg_is_in_recovery() THEN pg_current_wal_flush_lsn() END) AS flushed (lsn)
"""
REPLAYED = "SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= %s::pg_lsn"
IDENTITY = "SELECT system_identifier, current_database() FROM pg_control_system()"
TIMELINE = "SELECT upper(lpad(to_hex(timeline_id), 8, '0')) FROM pg_control_checkpoint()"

logger = logging.getLogger(__name__)


class Position(NamedTuple):
    """A place in the primary's write-ahead log: its timeline as 8 hexadecimal digits, and LSN."""

    timeline: str | None
    lsn: str | None


class Standby:
    """The server of DATABASE_REPLICA_URL, which is used while it keeps up with the primary.

    One that fails or lags is set aside, and the primary serves all reads. A thread then checks
    it every few seconds, so no request waits for it.
    """

    def __init__(self, settings: Settings) -> None:
        assert settings.database_replica_url
        self.settings = replace(settings, database_url=settings.database_replica_url)
        self.pool = Pool(None, autoconnect=False)
        init_pool(self.pool, self.settings, size=settings.database_pool_size, session=SESSION)
        self._timeline: str | None = None  # of both servers; None while the standby is set aside
        self._checking = Lock()
        self._closed = False

    def needed_position(self) -> Position | None:
        """Return the position that a read needs, or None while the standby is set aside.

        Raises:
            DatabaseUnavailable: the primary can't be asked.
        """
        if self._timeline is None:
            self._start_checks(0.0)
            return None
        with connection():
            position = read_position()
        if position.timeline != self._timeline:  # another server is the primary now
            self._set_aside("The primary has changed.")
            return None
        return position

    @contextmanager
    def connection(self, position: Position) -> Iterator[None]:
        """Execute the block's statements on the standby, which has replayed the position.

        Raises:
            PoolExhausted: all connections to the standby are in use.
            DatabaseUnavailable: it is not reachable, or lags.
        """
        with ExitStack() as stack:
            try:
                stack.enter_context(self._checkout())
                with translated_errors():
                    wait_for_replay(position)
            except DatabaseUnavailable as error:
                self._set_aside(describe(error))
                raise
            yield

    @contextmanager
    def pool_for_long_read(
        self, position: Position, session: dict[str, str]
    ) -> Iterator[Pool | None]:
        """Open another connection to the standby for the block.

        Yields None if the standby has not replayed the position, or sends the primary no feedback:
        then the primary removes rows that the read needs, and replaying that ends the read.
        """
        with ExitStack() as stack:
            pool = None
            with suppress(DatabaseUnavailable), translated_errors():
                opened = stack.enter_context(new_pool(self.settings, session))
                wait_for_replay(position, opened)
                if opened.execute_sql("SHOW hot_standby_feedback").fetchone() == ("on",):
                    pool = opened
            yield pool

    def check(self) -> str:
        """Check that the server is a standby of the primary and keeps up; return the timeline.

        Raises:
            DatabaseUnavailable: it is not; the message says why.
        """
        with connection():
            primary = database.execute_sql(IDENTITY).fetchone()
            position = read_position()
        with self._checkout():
            if database.execute_sql(IDENTITY).fetchone() != primary:
                raise DatabaseUnavailable("It is no copy of the primary's database.")
            if database.execute_sql(TIMELINE).fetchone() != (position.timeline,):
                raise DatabaseUnavailable("It has not followed the primary's last failover yet.")
            wait_for_replay(position)
        assert position.timeline
        return position.timeline

    def close(self) -> None:
        """Close the connections, and end the checks."""
        self._closed = True
        self.pool.close_idle()

    @contextmanager
    def _checkout(self) -> Iterator[None]:
        with translated_errors(), database.checked_out_from(self.pool):
            database.connection().response_timeout = CONNECT_TIMEOUT
            yield

    def _set_aside(self, reason: str) -> None:
        if self._timeline is not None:
            logger.warning("Standby is set aside, the primary serves all reads: %s", reason)
        self._timeline = None
        self._start_checks(CHECK_INTERVAL)

    def _start_checks(self, delay: float) -> None:
        if self._checking.acquire(blocking=False):
            Thread(target=self._check_until_usable, args=[delay], daemon=True).start()

    def _check_until_usable(self, delay: float) -> None:
        try:
            time.sleep(delay)
            while not self._closed and self._timeline is None:
                try:
                    self._timeline = self.check()
                except (DatabaseUnavailable, PeeweeException, PoolExhausted) as error:
                    logger.debug("Standby can't be used: %s", describe(error))
                    self.pool.close_idle()
                    time.sleep(CHECK_INTERVAL)
                else:
                    logger.info("Standby is used for reads")
        finally:
            self._checking.release()


standby: Standby | None = None


def configure(settings: Settings) -> None:
    """Set the standby, if DATABASE_REPLICA_URL names one. No I/O: gunicorn forks after this."""
    global standby
    if standby:
        standby.close()
    standby = Standby(settings) if settings.database_replica_url else None


def prefer_standby(read: Callable[P, T]) -> Callable[P, T]:
    """Run a function that only reads on the standby, or else on the primary.

    It runs on the standby if that has every write that was acknowledged before the call, by
    whichever process. If it fails there, it runs once more on the primary.
    """

    @wraps(read)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        if standby and database.is_closed() and (position := standby.needed_position()):
            with suppress(DatabaseUnavailable, PoolExhausted), standby.connection(position):
                return read(*args, **kwargs)
        return read(*args, **kwargs)

    return run


@contextmanager
def new_reading_pool(settings: Settings, session: dict[str, str]) -> Iterator[Pool]:
    """Open another connection for the block that only reads, to the standby or to the primary.

    Raises:
        DatabaseUnavailable: PostgreSQL can't execute the block's statements.
    """
    with ExitStack() as stack:
        pool = None
        if standby and (position := standby.needed_position()):
            pool = stack.enter_context(standby.pool_for_long_read(position, session))
        yield pool or stack.enter_context(new_pool(settings, session))


def read_position() -> Position:
    """Return the primary's position, on the checked-out connection."""
    return Position(*_prepared(POSITION).execute().fetchone())


@cache
def _prepared(sql: str, *parameters: str) -> CompiledQuery:
    return CompiledQuery(RawQuery(sql, list(map(Parameter, parameters))), prepare=True)


def wait_for_replay(position: Position, pool: Pool | None = None) -> None:
    """Wait a moment until a standby has replayed a position.

    Its connection is the one that is checked out, or that of a pool of its own.

    Raises:
        DatabaseUnavailable: it has not.
    """
    for pause in (*REPLAY_PAUSES, None):
        if pool:
            found = pool.execute_sql(REPLAYED, (position.lsn,))
        else:
            found = _prepared(REPLAYED, "lsn").execute(lsn=position.lsn)
        if found.fetchone()[0]:
            return
        if pause:
            time.sleep(pause)
    raise DatabaseUnavailable("It is no standby, or lags behind the primary.")
