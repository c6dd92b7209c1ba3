"""The database's schema, made and brought up to date by the numbered files in this folder."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peewee import PostgresqlDatabase
from playhouse.migrations import Migration, Runner

from tracker.config import Settings
from tracker.database.connection import (
    RETRY_AFTER,
    SCHEMA_OUTDATED,
    connection_parameters,
    database,
    translated,
)
from tracker.errors import DatabaseUnavailable

FOLDER = Path(__file__).parent
HISTORY = "schema_migration"  # the table of applied migrations
LOCK = 0x6974_7472_6163_6B72  # the advisory lock's key, any number that is ours


def upgrade(settings: Settings) -> list[str]:
    """Apply the migrations that are pending and give their names, oldest first.

    Safe to run from several processes at once: an advisory lock lets them take turns.

    Raises:
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    with _runner(settings) as runner:
        runner.database.execute_sql("SELECT pg_advisory_lock(%s)", (LOCK,))
        # The lock needs no release of its own: it goes with the connection.
        return list(runner.up())


def status(settings: Settings) -> list[Migration]:
    """Tell for each migration, oldest first, whether and when it was applied.

    Raises:
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    with _runner(settings) as runner:
        return list(runner.status())


def check_current() -> None:
    """Check on the borrowed connection that each migration is applied.

    Raises:
        DatabaseUnavailable: one is not.
    """
    with translated():
        rows = database.execute_sql(f"SELECT name FROM {HISTORY}").fetchall()  # noqa: S608
    needed = {migration.name for migration in Migration.load_directory(str(FOLDER))}
    if not needed <= {name for (name,) in rows}:
        raise DatabaseUnavailable(SCHEMA_OUTDATED, retry_after=RETRY_AFTER)


@contextmanager
def _runner(settings: Settings) -> Iterator[Runner]:
    # Not on a connection of the pool, whose statements are short: an index may take its time.
    parameters = connection_parameters(settings)
    with translated():
        own = PostgresqlDatabase(parameters.pop("dbname"), **parameters)
        with own.connection_context():
            yield Runner(own, str(FOLDER), table_name=HISTORY)
