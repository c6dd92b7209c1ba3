"""The connection pool: which connection is checked out, and how long that may last."""

import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from threading import Event

import psycopg2
import pytest
from flask import Flask
from psycopg2.extensions import TRANSACTION_STATUS_IDLE

from tracker.config import Settings
from tracker.database import connection as connection_module
from tracker.database.connection import configure, connection, database
from tracker.errors import DatabaseUnavailable
from tracker.tasks.loader import read_task
from tracker.tasks.service import check_ready


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The URL of a server that accepts connections and sends nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        yield f"postgresql://127.0.0.1:{port}/nowhere?connect_timeout=2"


def _backend() -> int:
    return int(database.connection().info.backend_pid)


def test_connections_are_opened_in_parallel(silent_server: str) -> None:
    configure(Settings(database_url=silent_server, database_pool_size=8))
    started = time.monotonic()
    with ThreadPoolExecutor(8) as threads:
        errors = [threads.submit(read_task, 1).exception() for _ in range(8)]
    assert {type(error) for error in errors} == {DatabaseUnavailable}
    assert time.monotonic() - started < 4  # one after the other would take 16


def test_a_connect_that_timed_out_is_not_retried_at_once(silent_server: str) -> None:
    configure(Settings(database_url=silent_server, database_pool_size=1))
    for expected in (2.0, 0.0):
        started = time.monotonic()
        with pytest.raises(DatabaseUnavailable, match="can't be reached"):
            read_task(1)
        assert expected <= time.monotonic() - started < expected + 0.9


def test_a_failed_connect_leaves_its_slot_free() -> None:
    configure(Settings(database_url="postgresql://127.0.0.1:1/nowhere", database_pool_size=2))
    started = time.monotonic()
    for _ in range(5):
        with pytest.raises(DatabaseUnavailable, match="can't be reached"):
            read_task(1)
    assert time.monotonic() - started < connection_module.CHECKOUT_TIMEOUT


def test_a_connection_in_a_transaction_is_not_returned(app: Flask) -> None:
    with connection():
        first = database.connection()
        database.execute_sql("BEGIN")
    assert first.closed
    with connection():
        assert database.connection().info.transaction_status == TRANSACTION_STATUS_IDLE


def test_a_returned_connection_goes_to_the_next_waiter(settings: Settings) -> None:
    configure(replace(settings, database_pool_size=1))
    waits = Event()

    def wait() -> int:
        waits.set()
        with connection():
            return _backend()

    with ThreadPoolExecutor() as pool:
        with connection():
            backend = _backend()
            waiter = pool.submit(wait)
            waits.wait(5)
            time.sleep(0.2)
            assert not waiter.done()
            returned_at = time.monotonic()
        assert waiter.result(5) == backend
        assert time.monotonic() - returned_at < 1


def test_a_waiter_gets_an_error_after_the_timeout(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "CHECKOUT_TIMEOUT", 0.3)
    configure(replace(settings, database_pool_size=1))
    with ThreadPoolExecutor() as pool, connection():
        started = time.monotonic()
        error = pool.submit(check_ready).exception()
        assert 0.3 <= time.monotonic() - started < 1.5
    assert isinstance(error, DatabaseUnavailable)
    assert str(error) == "All database connections are in use; try again."
    check_ready()


def test_the_most_recently_used_connection_is_used_first(app: Flask) -> None:
    with ThreadPoolExecutor() as pool, connection():
        pool.submit(check_ready).result(5)
        last = database.connection()
    for _ in range(3):
        with connection():
            assert database.connection() is last


def test_a_connection_that_the_server_ended_is_replaced(app: Flask, database_url: str) -> None:
    with connection():
        ended = _backend()
    with closing(psycopg2.connect(database_url)) as other:
        other.cursor().execute("SELECT pg_terminate_backend(%s, 5000)", (ended,))
    with connection():
        assert _backend() != ended
        assert database.execute_sql("SELECT 42").fetchone() == (42,)


def test_close_idle_closes_no_connection_in_use(app: Flask) -> None:
    with ThreadPoolExecutor() as pool, connection():
        mine = database.connection()

        def open_another() -> psycopg2.extensions.connection:
            with connection():
                opened: psycopg2.extensions.connection = database.connection()
                return opened

        idle = pool.submit(open_another).result(5)
        database.close_idle()
        assert idle.closed
        assert not mine.closed
    check_ready()
