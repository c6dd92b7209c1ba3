"""The schema is made once, by whoever comes first, and its state is told truly."""

from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError

import psycopg2
import pytest

from tracker.config import Settings
from tracker.database import migrations
from tracker.database.connection import borrowed, configure, database
from tracker.errors import DatabaseUnavailable


@pytest.fixture
def empty(empty_database_url: str) -> Settings:
    return Settings(database_url=empty_database_url)


def _names() -> list[str]:
    return sorted(path.stem for path in migrations.FOLDER.glob("[0-9]*.py"))


def test_upgrade_applies_each_migration_once(empty: Settings) -> None:
    assert migrations.upgrade(empty) == _names()
    assert migrations.upgrade(empty) == []
    assert [row.name for row in migrations.status(empty) if row.applied] == _names()


def test_upgrades_at_the_same_time_take_turns(empty: Settings) -> None:
    with ThreadPoolExecutor(8) as pool:
        applied = list(pool.map(migrations.upgrade, [empty] * 8))
    assert sorted(applied, key=len, reverse=True) == [_names()] + [[]] * 7


def test_an_upgrade_waits_for_the_lock_of_another(empty: Settings) -> None:
    other = psycopg2.connect(empty.database_url)
    other.cursor().execute("SELECT pg_advisory_lock(%s)", (migrations.LOCK,))
    with ThreadPoolExecutor() as pool:
        upgrade = pool.submit(migrations.upgrade, empty)
        with pytest.raises(FutureTimeoutError):
            upgrade.result(0.5)
        other.close()
        assert upgrade.result(10) == _names()


def test_status_of_an_empty_database_is_all_pending(empty: Settings) -> None:
    assert [(row.name, row.applied) for row in migrations.status(empty)] == [
        (name, None) for name in _names()
    ]


def test_a_schema_that_is_behind_is_not_current(empty: Settings) -> None:
    migrations.upgrade(empty)
    configure(empty)
    with borrowed():
        migrations.check_current()
        database.execute_sql(f"DELETE FROM {migrations.HISTORY} WHERE name = %s", (_names()[-1],))
        with pytest.raises(DatabaseUnavailable, match="flask db init"):
            migrations.check_current()
    database.close_all()


def test_the_migrations_can_be_taken_back(empty: Settings) -> None:
    migrations.upgrade(empty)
    with migrations._runner(empty) as runner:
        runner.down(_names()[0])
        assert runner.database.get_tables() == [migrations.HISTORY]
    assert migrations.upgrade(empty) == _names()


def test_an_unreachable_database_is_unavailable() -> None:
    with pytest.raises(DatabaseUnavailable):
        migrations.upgrade(Settings(database_url="postgresql://127.0.0.1:1/nowhere"))
