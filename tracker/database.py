"""The pooled database, and how long a connection of it is borrowed."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg2.extensions
from peewee import InterfaceError, OperationalError, PeeweeException
from playhouse.pool import MaxConnectionsExceeded, PooledPostgresqlDatabase

from . import embedded
from .config import Settings
from .errors import DatabaseUnavailable

CONNECT_TIMEOUT = 3  # seconds
POOL_TIMEOUT = 3  # seconds to wait for a connection when all are borrowed
STATEMENT_TIMEOUT = 5_000  # milliseconds, locks waited for included
RETRY_AFTER = 2  # seconds, told to clients
SCHEMA_OUTDATED = "The database's schema is not up to date; run `flask db init`."

# Bound to a server by `configure`; opens nothing by itself, in no thread and no process.
database = PooledPostgresqlDatabase(None, autoconnect=False)


def configure(settings: Settings) -> None:
    """Point the pool at the settings' database, one connection for each thread. No I/O."""
    parameters = connection_parameters(settings)
    options = [f"-c statement_timeout={STATEMENT_TIMEOUT}", "-c timezone=UTC"]
    parameters["options"] = " ".join([*options, parameters.get("options", "")]).strip()
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
        DatabaseUnavailable: PostgreSQL can't serve the statements now. What an atomic block
            inside did is undone, unless the connection broke while it committed.
    """
    with translated():
        opened = database.connect(reuse_if_open=True)
        try:
            yield
        finally:
            if opened:
                database.close()


@contextmanager
def translated() -> Iterator[None]:
    """Turn what is no fault of the statements into DatabaseUnavailable."""
    try:
        yield
    except MaxConnectionsExceeded as error:
        raise DatabaseUnavailable(
            "All database connections are busy; try again.", retry_after=RETRY_AFTER
        ) from error
    except PeeweeException as error:
        message = _unavailability(error)
        if message is None:
            raise
        raise DatabaseUnavailable(message, retry_after=RETRY_AFTER) from error


# What PostgreSQL's error codes mean for a client, where the server's state is to blame.
# https://www.postgresql.org/docs/current/errcodes-appendix.html
_MESSAGES = {
    "25006": "The database is read-only now; try again later.",
    "42P01": SCHEMA_OUTDATED,
    "42703": SCHEMA_OUTDATED,
    "40P01": "The database was busy with the same tasks; try again.",
    "53100": "The database's disk is full; try again later.",
    "55P03": "The database did not get a lock in time; try again.",
    "57014": "The database did not answer in time; try again.",
}


def _unavailability(error: PeeweeException) -> str | None:
    code = getattr(getattr(error, "orig", None), "pgcode", None) or ""
    if isinstance(error, OperationalError | InterfaceError):
        return _MESSAGES.get(code, "The database can't be reached; try again.")
    return _MESSAGES.get(code)
