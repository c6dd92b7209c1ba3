"""Schema migrations: the numbered files in this folder, applied by Peewee's Runner."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from peewee import PostgresqlDatabase
from playhouse.migrations import Migration, Runner

from ...config import Settings
from ...errors import DatabaseUnavailable
from ..connection import RETRY_AFTER, connection_parameters, database, translated_errors
from ..errors import SCHEMA_OUTDATED

FOLDER = Path(__file__).parent
HISTORY = "schema_migration"  # table of applied migrations
ADVISORY_LOCK = 0x6974_7472_6163_6B72  # "ittrackr"; any number that no one else uses


def upgrade(settings: Settings) -> list[str]:
    """Apply the pending migrations; return their names, oldest first.

    Several processes may call it at once: they run one after the other, by an advisory lock.

    Raises:
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    with _runner(settings) as runner:
        # The lock ends with the connection.
        runner.database.execute_sql("SELECT pg_advisory_lock(%s)", (ADVISORY_LOCK,))
        return list(runner.up())


def status(settings: Settings) -> list[Migration]:
    """Return each migration, oldest first, with the time it was applied or None.

    Raises:
        DatabaseUnavailable: PostgreSQL can't be reached.
    """
    with _runner(settings) as runner:
        return list(runner.status())


def check_current() -> None:
    """Check on the checked-out connection that every migration is applied.

    Raises:
        DatabaseUnavailable: one is pending.
    """
    with translated_errors():
        rows = database.execute_sql(f"SELECT name FROM {HISTORY}").fetchall()  # noqa: S608
    needed = {migration.name for migration in Migration.load_directory(str(FOLDER))}
    if not needed <= {name for (name,) in rows}:
        raise DatabaseUnavailable(SCHEMA_OUTDATED, retry_after=RETRY_AFTER)


@contextmanager
def _runner(settings: Settings) -> Iterator[Runner]:
    # Outside the pool, whose connections have time limits: building an index takes longer.
    parameters = connection_parameters(settings)
    with translated_errors():
        own = PostgresqlDatabase(parameters.pop("dbname"), **parameters)
        with own.connection_context():
            yield Runner(own, str(FOLDER), table_name=HISTORY)
