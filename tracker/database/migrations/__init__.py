"""Schema migrations: the numbered files in this folder, applied by Peewee's Runner."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peewee import PeeweeException
from playhouse.migrations import Migration, Runner

from ...config import Settings
from ...errors import DatabaseSchemaOutdated
from ..connection import RETRY_AFTER, database, new_pool, translated_errors
from ..driver import UNLIMITED
from ..errors import NO_SCHEMA, SCHEMA_OUTDATED, UNDEFINED_TABLE, sqlstate
from ..pool import Pool

FOLDER = Path(__file__).parent
HISTORY = "schema_migration"  # table of applied migrations
ADVISORY_LOCK = 0x6974_7472_6163_6B72  # "ittrackr"; any number that no one else uses
LOCK_POLL_INTERVAL = 0.1  # seconds
# Citus refuses a transaction that changes all shards in parallel and then a function, unless it
# is told to take them one by one. Without Citus, this is a name that PostgreSQL accepts.
SESSION = UNLIMITED | {"citus.multi_shard_modify_mode": "sequential"}


def upgrade(settings: Settings) -> list[str]:
    """Apply the pending migrations; return their names, oldest first.

    Several processes may call it at once: they run one after the other, by an advisory lock.

    Raises:
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    with locked(settings), _runner(settings) as runner:
        return list(runner.up())


def status(settings: Settings) -> list[Migration]:
    """Return each migration, oldest first, with the time it was applied or None.

    Raises:
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    with _runner(settings) as runner:
        return list(runner.status())


def check_current(pool: Pool = database) -> list[str]:
    """Check that each migration is applied and the tasks can be read, on the pool's connection.

    Returns the names of applied migrations that only newer code has.

    Raises:
        DatabaseUnavailable: a migration is pending, or another session has locked the table.
    """
    with translated_errors():
        try:
            rows = pool.execute_sql(f"SELECT name FROM {HISTORY}").fetchall()  # noqa: S608
        except PeeweeException as error:
            if sqlstate(error) != UNDEFINED_TABLE:
                raise
            raise DatabaseSchemaOutdated(NO_SCHEMA, retry_after=RETRY_AFTER) from error
        applied = {name for (name,) in rows}
        needed = {migration.name for migration in Migration.load_directory(str(FOLDER))}
        if not needed <= applied:
            raise DatabaseSchemaOutdated(SCHEMA_OUTDATED, retry_after=RETRY_AFTER)
        pool.execute_sql("SELECT 1 FROM tasks LIMIT 1")
    return sorted(applied - needed)


def check(settings: Settings) -> list[str]:
    """Check the login, the encoding and the schema, on a connection of its own.

    Returns and raises what `check_current` does.
    """
    with new_pool(settings) as pool:
        return check_current(pool)


@contextmanager
def locked(settings: Settings) -> Iterator[None]:
    """Hold the advisory lock for the time of the block.

    It belongs to a transaction, not to a session, which a pooler may give to others. It is polled,
    each time in a transaction of its own: CREATE INDEX CONCURRENTLY waits for the end of every
    transaction that it has seen reading.
    """
    lock = "SELECT pg_try_advisory_xact_lock(%s)"
    with new_pool(settings, UNLIMITED) as pool:
        while True:
            with pool.atomic():
                if pool.execute_sql(lock, (ADVISORY_LOCK,)).fetchone()[0]:
                    yield
                    return
            time.sleep(LOCK_POLL_INTERVAL)


@contextmanager
def _runner(settings: Settings) -> Iterator[Runner]:
    with new_pool(settings, SESSION) as pool:
        yield Runner(pool, str(FOLDER), table_name=HISTORY)
