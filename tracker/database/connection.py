"""The database, and the checkout of one of its connections for a block."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import wraps
from typing import Any, ParamSpec, TypeVar

import psycopg2.extensions
from peewee import PeeweeException

from ..config import Settings
from ..errors import (
    ConnectionLost,
    DatabasePoolExhausted,
    DatabaseTimeout,
    TransactionConflict,
)
from ..metrics import POOL_IN_USE, POOL_SIZE, sample_from
from ..postgres import server as embedded
from .driver import CONNECT_TIMEOUT, SETTINGS, ResponseTimeout
from .errors import (
    POOL_EXHAUSTED,
    READ_ONLY,
    TIMED_OUT,
    UNREACHABLE,
    find_problem,
    sqlstate,
)
from .pool import Pool, PoolExhausted

CHECKOUT_TIMEOUT = 3  # seconds
RETRY_AFTER = 2  # seconds, in responses

P = ParamSpec("P")
T = TypeVar("T")

database = Pool(None, autoconnect=False)


def configure(settings: Settings) -> None:
    """Set the server and the size of the pool. No I/O: gunicorn forks after this."""
    init_pool(database, settings, size=settings.database_pool_size, timeout=CHECKOUT_TIMEOUT)
    sample_from(POOL_SIZE, lambda: database.size)
    sample_from(POOL_IN_USE, database.in_use)


@contextmanager
def new_pool(settings: Settings, session: dict[str, str] = SETTINGS) -> Iterator[Pool]:
    """Open another connection for the block, whose PostgreSQL settings may be others.

    Raises:
        DatabaseUnavailable: PostgreSQL can't execute the block's statements.
    """
    pool = Pool(None, autoconnect=False)
    init_pool(pool, settings, session=session)
    try:
        with translated_errors(), pool.connection_context():
            yield pool
    finally:
        pool.close_idle()


def init_pool(pool: Pool, settings: Settings, **options: Any) -> None:
    """Set the server and the options of a pool. No I/O."""
    parameters = connection_parameters(settings)
    name = parameters.pop("dbname")
    keeps_session = settings.database_prepared_statements == "on"
    pool.init(name, keeps_session=keeps_session, **options, **parameters)


def connection_parameters(settings: Settings) -> dict[str, Any]:
    """Return libpq's parameters for the settings' database."""
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
        "client_encoding": "UTF8",
    }


def database_name(settings: Settings) -> str:
    """Return which database the settings name, without its account and password."""
    if settings.embedded_folder:
        return settings.database_url
    parts = psycopg2.extensions.parse_dsn(settings.database_url)
    host, port = (parts.get(name, "") for name in ("host", "port"))
    return f"postgresql://{host}:{port}/{parts['dbname']}"


@contextmanager
def connection() -> Iterator[None]:
    """Check out a connection for the block; a nested block shares it.

    The block must not wait for the network: others may wait for the connection.

    Raises:
        DatabaseUnavailable: PostgreSQL can't execute the statements now. A transaction in the
            block is rolled back, unless the connection broke during its commit.
    """
    opened = False
    try:
        opened = database.connect(reuse_if_open=True)
        yield
    except PoolExhausted as error:
        raise DatabasePoolExhausted(POOL_EXHAUSTED, retry_after=RETRY_AFTER) from error
    except PeeweeException as error:
        if isinstance(getattr(error, "orig", None), ResponseTimeout):
            if opened:  # else it is the standby's
                database.close_idle()  # if the host is gone, each of those would wait as long
            raise DatabaseTimeout(TIMED_OUT, retry_after=RETRY_AFTER) from error
        if not database.is_closed() and database.connection().closed:
            if opened:  # else it is the standby's
                database.close_idle()  # the server has most likely ended those too
            raise ConnectionLost(UNREACHABLE, retry_after=RETRY_AFTER) from error
        if opened and sqlstate(error) == READ_ONLY:
            database.connection().close()  # a session keeps this state from its beginning
            database.close_idle()
        if problem := find_problem(error):
            raise problem.kind(problem.message, retry_after=RETRY_AFTER) from error
        raise
    finally:
        if opened:
            database.close()


def retry_on_conflict(write: Callable[P, T]) -> Callable[P, T]:
    """Run a function that is one transaction up to twice more if PostgreSQL undoes it."""

    @wraps(write)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        for _ in range(2):
            with suppress(TransactionConflict):
                return write(*args, **kwargs)
        return write(*args, **kwargs)

    return run


def retry_on_disconnect(read: Callable[P, T]) -> Callable[P, T]:
    """Run a function that only reads once more if its connection breaks."""

    @wraps(read)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return read(*args, **kwargs)
        except ConnectionLost:
            return read(*args, **kwargs)

    return run


@contextmanager
def translated_errors() -> Iterator[None]:
    """Raise DatabaseUnavailable for errors that are not the statements' fault."""
    try:
        yield
    except PeeweeException as error:
        if problem := find_problem(error):
            raise problem.kind(problem.message, retry_after=RETRY_AFTER) from error
        raise
