"""PgBouncer between the service and PostgreSQL, in session and in transaction mode."""

import threading
import time
import uuid
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, nullcontext
from pathlib import Path
from types import SimpleNamespace

import psycopg2
import pytest
import requests
from peewee import DataError

from helpers import PATIENCE, Service, fill, served
from pooler import MODES, pooled
from tracker.config import Settings
from tracker.database import driver, migrations, queries
from tracker.database.connection import configure, connection, database, new_pool
from tracker.errors import DatabaseUnavailable
from tracker.tasks.export import export_batches

CLIENTS = 14
OURS = {
    "lock_timeout": "2s",
    "statement_timeout": "5s",
    "idle_in_transaction_session_timeout": "5s",
    "transaction_isolation": "read committed",
    "timezone": "UTC",
    "datestyle": "ISO, YMD",
}
OTHERS = {
    "lock_timeout": "9s",
    "statement_timeout": "8s",
    "idle_in_transaction_session_timeout": "7s",
    "transaction_isolation": "serializable",
    "timezone": "Asia/Tokyo",
    "datestyle": "German, DMY",
}


@pytest.fixture
def url(empty_database_url: str) -> str:
    """A database with settings of its own."""
    with closing(psycopg2.connect(empty_database_url)) as other, other.cursor() as cursor:
        other.autocommit = True
        for name, value in OTHERS.items():
            name = name.replace("transaction_isolation", "default_transaction_isolation")
            statement = f"ALTER DATABASE {other.info.dbname} SET {name} = {value!r}"
            cursor.execute(statement.replace("'German, DMY'", "German, DMY"))
    return empty_database_url


@contextmanager
def behind_pooler(url: str, mode: str, size: int, prepared: str = "") -> Iterator[Settings]:
    """Settings for the database behind a PgBouncer with few connections to it."""
    with pooled(url, mode, size) as pooled_url:
        settings = Settings(
            database_url=pooled_url, database_prepared_statements=prepared or MODES[mode]
        )
        configure(settings)
        yield settings
        database.close_idle()


def shown() -> dict[str, str]:
    return {name: database.execute_sql(f"SHOW {name}").fetchone()[0] for name in OURS}


@pytest.mark.parametrize("mode", MODES)
def test_an_export_works_behind_a_pooler(url: str, mode: str) -> None:
    migrations.upgrade(Settings(database_url=url))
    fill(url, 60, 10)
    with behind_pooler(url, mode, size=2) as settings:
        for _ in range(2):
            assert sum(len(batch) for batch in export_batches(settings, {})) == 60


@pytest.mark.parametrize("mode", MODES)
def test_each_statement_has_our_settings_behind_a_pooler(url: str, mode: str) -> None:
    with behind_pooler(url, mode, size=1), connection():
        assert shown() == OURS
        with database.atomic(), database.atomic():
            assert shown() == OURS
        with pytest.raises(DataError):
            database.execute_sql("SELECT 1 / 0")
        assert shown() == OURS


@pytest.mark.parametrize("mode", MODES)
def test_a_statement_behind_a_pooler_is_cancelled_in_time(
    url: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(driver.SETTINGS, "statement_timeout", "300")
    with behind_pooler(url, mode, size=1):
        for block in (nullcontext, database.atomic):
            started = time.monotonic()
            with pytest.raises(DatabaseUnavailable, match="respond in time"):
                with connection(), block():
                    database.execute_sql("SELECT pg_sleep(8)")
            assert time.monotonic() - started < 6


def test_a_transaction_behind_a_pooler_may_have_another_level(url: str) -> None:
    with behind_pooler(url, "transaction", size=1), connection():
        with database.atomic(isolation_level="REPEATABLE READ"):
            assert shown() == OURS | {"transaction_isolation": "repeatable read"}
        assert shown() == OURS


def test_other_clients_of_the_pooler_do_not_get_our_settings(url: str) -> None:
    with behind_pooler(url, "transaction", size=2) as settings:
        assert migrations.upgrade(settings)
        with connection(), database.atomic():
            queries.insert_task({"title": "t", "repository": "pallets/flask"})
            assert queries.read_tasks([1])
        with closing(psycopg2.connect(settings.database_url)) as other:
            cursor = other.cursor()
            for name in ("lock_timeout", "statement_timeout", "transaction_isolation"):
                cursor.execute(f"SHOW {name}")
                assert cursor.fetchone() == (OTHERS[name],)
            cursor.execute("SELECT count(*) FROM pg_prepared_statements")
            assert cursor.fetchone() == (0,)


@pytest.mark.parametrize("mode", MODES)
def test_concurrent_upgrades_through_a_pooler_run_in_turn(url: str, mode: str) -> None:
    with behind_pooler(url, mode, size=20) as settings, ThreadPoolExecutor(8) as threads:
        applied = list(threads.map(migrations.upgrade, [settings] * 8))
    names = [row.name for row in migrations.status(Settings(database_url=url))]
    assert sorted(applied, key=len, reverse=True) == [names] + [[]] * 7


@pytest.mark.parametrize("mode", MODES)
def test_a_lock_outlives_the_transactions_that_follow(url: str, mode: str) -> None:
    with behind_pooler(url, mode, size=3) as settings:
        with migrations.locked(settings):
            migrations.status(settings)
            with closing(psycopg2.connect(url)) as other, other.cursor() as cursor:
                cursor.execute("SELECT pg_try_advisory_lock(%s)", (migrations.ADVISORY_LOCK,))
                assert cursor.fetchone() == (False,)


@pytest.mark.parametrize("mode", MODES)
def test_an_index_is_built_concurrently_while_an_upgrade_waits(
    url: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = threading.Event()

    def sleep(seconds: float) -> None:
        waiting.set()
        time.sleep(seconds)

    def build() -> None:
        with new_pool(settings, driver.UNLIMITED) as pool:
            pool.cursor().execute("CREATE INDEX CONCURRENTLY extra ON tasks (id)")

    with behind_pooler(url, mode, size=5) as settings, ThreadPoolExecutor() as threads:
        migrations.upgrade(settings)
        # The upgrade sleeps between two attempts to get the lock.
        monkeypatch.setattr(migrations, "time", SimpleNamespace(sleep=sleep))
        with migrations.locked(settings):
            upgrade = threads.submit(migrations.upgrade, settings)
            assert waiting.wait(PATIENCE)
            threads.submit(build).result(PATIENCE)
            assert not upgrade.done()
        assert upgrade.result(PATIENCE) == []


def test_a_wrong_setting_is_named_and_runs_no_other_statement(url: str) -> None:
    migrations.upgrade(Settings(database_url=url))

    def read() -> bool:
        with connection():
            return queries.read_tasks([1]) == {}

    with behind_pooler(url, "transaction", size=1, prepared="on"):
        with connection(), ThreadPoolExecutor() as other:
            assert read()
            with pytest.raises(DatabaseUnavailable, match="DATABASE_PREPARED_STATEMENTS"):
                other.submit(read).result()


@pytest.mark.slow  # the tests before have one client
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("number", [3_000])
def test_many_clients_are_served_behind_a_pooler(
    environment: dict[str, str], url: str, tmp_path: Path, mode: str, number: int
) -> None:
    migrations.upgrade(Settings(database_url=url))
    size = 40 if mode == "session" else 3
    with pooled(url, mode, size) as pooled_url:
        environment |= {
            "DATABASE_URL": pooled_url,
            "DATABASE_PREPARED_STATEMENTS": MODES[mode],
            "WEB_CONCURRENCY": "2",
        }
        with served(environment, tmp_path / "output") as service:
            with ThreadPoolExecutor(CLIENTS) as threads:
                rounds = number // CLIENTS // 5 + 1
                counts = threads.map(lambda _: use(service, rounds), range(CLIENTS))
                counted = sum(counts, Counter())
    assert counted["bad"] == 0, counted
    assert counted["good"] >= number


def use(service: Service, rounds: int) -> Counter[str]:
    """Create, read, change, list and check; count the responses that are as they must be."""
    counts: Counter[str] = Counter()
    with requests.Session() as session:
        session.trust_env = False

        def call(method: str, path: str, **options: object) -> requests.Response:
            url = f"http://127.0.0.1:{service.port}{path}"
            return session.request(method, url, timeout=20, **options)  # type: ignore[arg-type]

        for _ in range(rounds):
            title = uuid.uuid4().hex
            body = {"title": title, "repository": "pallets/flask"}
            created = call("POST", "/tasks", json=body)
            path = created.headers.get("Location", "/none")
            found = call("GET", path)
            done = call("PATCH", path, json={"status": "done"})
            listed = call("GET", "/tasks?status=done&limit=5")
            ready = call("GET", "/health/ready")
            for good in (
                created.status_code == 201 and created.json()["title"] == title,
                found.status_code == 200 and found.json()["title"] == title,
                done.status_code == 200 and done.json()["version"] == 2,
                listed.status_code == 200 and {t["status"] for t in listed.json()} == {"done"},
                ready.status_code == 200,
            ):
                counts["good" if good else "bad"] += 1
    return counts
