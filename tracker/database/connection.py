"""The pooled database, and how long a connection of it is borrowed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import psycopg2.extensions
from peewee import InterfaceError, OperationalError, PeeweeException

from tracker.config import Settings
from tracker.database.pool import CONNECT_TIMEOUT, Connection, Pool, PoolExhausted, wait
from tracker.errors import DatabaseUnavailable
from tracker.postgres import server as embedded

POOL_TIMEOUT = 3  # seconds to wait for a connection when all are borrowed
LOCK_TIMEOUT = 2_000  # milliseconds; less than POOL_TIMEOUT, so that others outwait a lock
STATEMENT_TIMEOUT = 5_000  # milliseconds
RETRY_AFTER = 2  # seconds, told to clients
UNREACHABLE = "The database can't be reached; try again."
SCHEMA_OUTDATED = "The database's schema is not up to date; run `flask db init`."

P = ParamSpec("P")
T = TypeVar("T")


class ConnectionLost(DatabaseUnavailable):
    """The connection broke while statements ran on it."""


# Bound to a server by `configure`; opens nothing by itself, in no thread and no process.
database = Pool(None, autoconnect=False)


def configure(settings: Settings) -> None:
    """Point the pool at the settings' database, with THREADS connections at most. No I/O."""
    parameters = connection_parameters(settings) | {"connection_factory": Connection}
    options = [
        f"-c statement_timeout={STATEMENT_TIMEOUT}",
        f"-c lock_timeout={LOCK_TIMEOUT}",
        "-c timezone=UTC",
        "-c plan_cache_mode=force_generic_plan",  # one plan for a prepared statement
    ]
    parameters["options"] = " ".join([*options, parameters.get("options", "")]).strip()
    psycopg2.extensions.set_wait_callback(wait)
    database.init(
        parameters.pop("dbname"),
        max_connections=settings.threads,
        timeout=POOL_TIMEOUT,
        **parameters,
    )


def connection_parameters(settings: Settings) -> dict[str, Any]:
    """Give libpq's parameters for the settings' database, with bounded waits."""
    folder = settings.embedded_folder
    return {
        "connect_timeout": CONNECT_TIMEOUT,
        "keepalives_idle": 30,
        "tcp_user_timeout": 10_000,
        "application_name": "github-task-tracker",
        **(
            embedded.connection_parameters(folder)
            if folder
            else psycopg2.extensions.parse_dsn(settings.database_url)
        ),
    }


@contextmanager
def borrowed() -> Iterator[None]:
    """Borrow a connection from the pool for this block; a block inside shares it.

    Borrow it for the statements alone: nothing in the block may wait for the network.

    Raises:
        DatabaseUnavailable: PostgreSQL can't serve the statements now. What a transaction
            inside did is undone, unless the connection broke while it committed.
    """
    opened = False
    try:
        opened = database.connect(reuse_if_open=True)
        yield
    except PoolExhausted as error:
        raise DatabaseUnavailable(
            "All database connections are busy; try again.", retry_after=RETRY_AFTER
        ) from error
    except PeeweeException as error:
        if database.is_broken():
            database.close_idle()  # they fare no better: the next attempt needs a new one
            raise ConnectionLost(UNREACHABLE, retry_after=RETRY_AFTER) from error
        if opened and _code(error) == READ_ONLY:
            database.close_all()  # a session may keep what it was told when it began
        if message := _unavailability(error):
            raise DatabaseUnavailable(message, retry_after=RETRY_AFTER) from error
        raise
    finally:
        if opened:
            database.close()


def repeatable(read: Callable[P, T]) -> Callable[P, T]:
    """Have a function that only reads run once more if its connection breaks meanwhile."""

    @wraps(read)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except ConnectionLost:
            return read(*args, **kwargs)

    return run


@contextmanager
def translated() -> Iterator[None]:
    """Turn what is no fault of the block's statements into DatabaseUnavailable."""
    try:
        yield
    except PeeweeException as error:
        if message := _unavailability(error):
            raise DatabaseUnavailable(message, retry_after=RETRY_AFTER) from error
        raise


READ_ONLY = "25006"
# What PostgreSQL's error codes mean for a client, where the server's state is to blame.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_MESSAGES = {
    READ_ONLY: "The database is read-only now; try again later.",
    "42P01": SCHEMA_OUTDATED,
    "42703": SCHEMA_OUTDATED,
    "40P01": "The database was busy with the same tasks; try again.",
    "53100": "The database's disk is full; try again later.",
    "55P03": "The database did not get a lock in time; try again.",
    "57014": "The database did not answer in time; try again.",
}


def _code(error: PeeweeException) -> str:
    return getattr(getattr(error, "orig", None), "pgcode", None) or ""


def _unavailability(error: PeeweeException) -> str | None:
    unreachable = isinstance(error, OperationalError | InterfaceError)
    return _MESSAGES.get(_code(error), UNREACHABLE if unreachable else None)
