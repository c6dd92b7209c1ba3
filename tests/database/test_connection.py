"""The checkout of a connection, and what becomes of it when a statement fails."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from flask import Flask
from peewee import DataError, IntegrityError

from tracker.config import Settings
from tracker.database.connection import configure, connection, database, retry_on_disconnect
from tracker.database.models import Task
from tracker.demo.github import Fault, GitHub
from tracker.errors import ConnectionLost, DatabaseUnavailable

TASK = {"title": "Read the docs", "repository": "pallets/flask"}


def _connection_states(database_url: str) -> list[str]:
    """Return the state of each connection of the service."""
    connection = psycopg2.connect(database_url)
    with connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT state FROM pg_stat_activity WHERE application_name = 'github-task-tracker'"
            " AND datname = current_database()"
        )
        states = [state for (state,) in cursor.fetchall()]
    connection.close()
    return states


def _fail(sqlstate: str) -> None:
    database.execute_sql(
        f"DO $$ BEGIN RAISE EXCEPTION 'a failed statement' USING ERRCODE = '{sqlstate}'; END $$"
    )


def test_no_connection_is_held_during_a_call_to_github(
    app: Flask, github: GitHub, database_url: str
) -> None:
    github.fault = Fault(delay=0.5)
    with ThreadPoolExecutor() as pool:
        creation = pool.submit(app.test_client().post, "/tasks", json=TASK)
        time.sleep(0.25)
        assert not creation.done()
        assert _connection_states(database_url) == []
        assert creation.result().status_code == 201


def test_requests_in_turn_share_one_connection(app: Flask, database_url: str) -> None:
    client = app.test_client()
    for _ in range(5):
        assert client.get("/tasks/1").status_code == 404
    assert _connection_states(database_url) == ["idle"]


def test_threads_open_no_more_connections_than_the_pool_size(app: Flask, database_url: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        statuses = pool.map(lambda _: app.test_client().get("/tasks/1").status_code, range(100))
    assert set(statuses) == {404}
    assert len(_connection_states(database_url)) <= 4


def test_a_failed_block_returns_its_connection(app: Flask, database_url: str) -> None:
    for _ in range(5):
        with pytest.raises(IntegrityError), connection(), database.atomic():
            Task.create(title="", repository="pallets/flask")
    assert _connection_states(database_url) == ["idle"]


def test_a_nested_block_shares_the_connection(app: Flask) -> None:
    with connection():
        outer = database.connection()
        with connection():
            assert database.connection() is outer
        assert not database.is_closed()
    assert database.is_closed()


def test_a_session_has_our_settings_whatever_the_url_has(database_url: str) -> None:
    settings = {
        "work_mem": ("1234kB", "1234kB"),  # not one of ours
        "lock_timeout": ("9s", "2s"),
        "statement_timeout": ("9s", "5s"),
        "idle_in_transaction_session_timeout": ("9s", "5s"),
        "default_transaction_isolation": ("serializable", "read committed"),
        "timezone": ("Asia/Tokyo", "UTC"),
        "datestyle": ("German", "ISO, YMD"),
    }
    options = " ".join(f"-c {name}={value}" for name, (value, _) in settings.items())
    configure(Settings(database_url=f"{database_url} options='{options}'"))
    with connection():
        found = {n: database.execute_sql(f"SHOW {n}").fetchone()[0] for n in settings}
    assert found == {name: expected for name, (_, expected) in settings.items()}


@pytest.mark.parametrize(
    ("sqlstate", "reason", "message"),
    [
        ("25006", "unavailable", "Database is read-only now; try again later."),
        ("40P01", "conflict", "Database was busy with the same tasks; try again."),
        ("42703", "schema_outdated", "Database schema is not up to date; run `flask db init`."),
        ("42P01", "schema_outdated", "Database schema is not up to date; run `flask db init`."),
        ("53100", "unavailable", "Database disk is full; try again later."),
        ("55P03", "timeout", "Database did not get a lock in time; try again."),
        ("57014", "timeout", "Database did not respond in time; try again."),
        ("57P01", "unavailable", "Database can't be reached; try again."),
    ],
)
def test_an_sqlstate_becomes_a_message_for_the_client(
    app: Flask, sqlstate: str, reason: str, message: str
) -> None:
    with pytest.raises(DatabaseUnavailable) as caught, connection():
        _fail(sqlstate)
    assert (caught.value.reason, str(caught.value)) == (f"database_{reason}", message)
    assert caught.value.retry_after == 2


def test_an_error_of_the_statement_is_not_hidden(app: Flask) -> None:
    with pytest.raises(DataError), connection():
        _fail("22012")


def test_a_read_only_session_is_replaced(app: Flask) -> None:
    with pytest.raises(DatabaseUnavailable, match="read-only"), connection():
        database.execute_sql("SET default_transaction_read_only = on")
        Task.create(title="t", repository="pallets/flask")
    with connection():
        assert database.execute_sql("SHOW transaction_read_only").fetchone() == ("off",)


def test_a_read_is_retried_once_after_its_connection_broke(app: Flask) -> None:
    attempts = []

    @retry_on_disconnect
    def read() -> int:
        with connection():
            attempts.append(1)
            if len(attempts) in broken:
                database.execute_sql("SELECT pg_terminate_backend(pg_backend_pid())")
            return int(database.execute_sql("SELECT 42").fetchone()[0])

    broken = {1}
    assert read() == 42
    broken = {3, 4}
    with pytest.raises(ConnectionLost) as caught:
        read()
    assert caught.value.reason == "database_connection_lost"
    assert len(attempts) == 4
