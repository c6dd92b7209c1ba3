"""Migrations: each is applied once, and the status says which are."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

import psycopg2
import pytest
from playhouse.migrations import Runner

from helpers import wait_for
from tracker.config import Settings
from tracker.database import migrations
from tracker.database.connection import configure, connection, database, new_pool
from tracker.database.driver import UNLIMITED
from tracker.errors import DatabaseUnavailable

NAMES = sorted(path.stem for path in migrations.FOLDER.glob("[0-9]*.py"))


@pytest.fixture
def empty(empty_database_url: str) -> Settings:
    return Settings(database_url=empty_database_url)


def test_upgrade_applies_each_migration_once(empty: Settings) -> None:
    assert migrations.upgrade(empty) == NAMES
    assert migrations.upgrade(empty) == []
    assert [row.name for row in migrations.status(empty) if row.applied] == NAMES


def test_concurrent_upgrades_apply_each_migration_once(empty: Settings) -> None:
    with ThreadPoolExecutor(8) as pool:
        applied = list(pool.map(migrations.upgrade, [empty] * 8))
    assert sorted(applied, key=len, reverse=True) == [NAMES] + [[]] * 7


def test_an_upgrade_waits_for_the_advisory_lock(empty: Settings) -> None:
    other = psycopg2.connect(empty.database_url)
    other.cursor().execute("SELECT pg_advisory_lock(%s)", (migrations.ADVISORY_LOCK,))
    with ThreadPoolExecutor() as pool:
        upgrade = pool.submit(migrations.upgrade, empty)
        with pytest.raises(FutureTimeoutError):
            upgrade.result(0.5)
        other.close()
        assert upgrade.result(10) == NAMES


def test_a_waiting_upgrade_keeps_no_transaction_open(empty: Settings) -> None:
    # CREATE INDEX CONCURRENTLY of the upgrade that has the lock would wait for it for ever.
    holder, observer = (psycopg2.connect(empty.database_url) for _ in range(2))
    holder.cursor().execute("SELECT pg_advisory_lock(%s)", (migrations.ADVISORY_LOCK,))
    observer.autocommit = True

    def waits_outside_a_transaction() -> bool:
        with observer.cursor() as cursor:
            cursor.execute(
                "SELECT 1 FROM pg_stat_activity WHERE datname = current_database()"
                " AND state = 'idle' AND query = 'COMMIT'"
            )
            return cursor.fetchone() is not None

    with ThreadPoolExecutor() as pool:
        upgrade = pool.submit(migrations.upgrade, empty)
        try:
            wait_for(waits_outside_a_transaction)
        finally:
            holder.close()
        assert upgrade.result(10) == NAMES
    observer.close()


def test_a_migration_has_no_time_limit(empty: Settings) -> None:
    limited = Settings(database_url=f"{empty.database_url} options='-c statement_timeout=9s'")
    with new_pool(limited, UNLIMITED) as pool:
        for name in ("lock_timeout", "statement_timeout", "idle_in_transaction_session_timeout"):
            assert pool.execute_sql(f"SHOW {name}").fetchone() == ("0",)


def test_all_migrations_of_an_empty_database_are_pending(empty: Settings) -> None:
    assert [(row.name, row.applied) for row in migrations.status(empty)] == [
        (name, None) for name in NAMES
    ]


def test_a_schema_with_a_pending_migration_is_not_current(empty: Settings) -> None:
    migrations.upgrade(empty)
    configure(empty)
    with connection():
        migrations.check_current()
        database.execute_sql(f"DELETE FROM {migrations.HISTORY} WHERE name = %s", (NAMES[-1],))
        with pytest.raises(DatabaseUnavailable, match="flask db init"):
            migrations.check_current()


def test_migrations_can_be_reversed(empty: Settings) -> None:
    migrations.upgrade(empty)
    configure(empty)
    with connection():
        runner = Runner(database, str(migrations.FOLDER), table_name=migrations.HISTORY)
        runner.down(NAMES[0])
        assert database.get_tables() == [migrations.HISTORY]
    assert migrations.upgrade(empty) == NAMES


def test_an_unreachable_database_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable):
        migrations.upgrade(Settings(database_url="postgresql://127.0.0.1:1/nowhere"))
