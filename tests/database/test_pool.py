"""A connection of the pool: noticed when it is dead, given up when its server does not answer."""

import dataclasses
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import psycopg2
import pytest
from flask import Flask
from peewee import PeeweeException
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS

from service import wait_for
from tracker.config import Settings
from tracker.database import pool
from tracker.database.connection import ConnectionLost, borrowed, configure, database, repeatable
from tracker.errors import DatabaseUnavailable
from tracker.tasks.service import check_ready, read_task


def test_a_statement_that_the_server_does_not_answer_is_given_up(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool.Connection, "patience", 0.2)
    started = time.monotonic()
    with pytest.raises(ConnectionLost), borrowed():
        database.execute_sql("SELECT pg_sleep(1)")
    assert time.monotonic() - started < 1
    assert database.lent == 0
    monkeypatch.undo()
    check_ready()
    wait_for(_nothing_runs)


def _nothing_runs() -> bool:
    with borrowed():
        query = "SELECT 1 FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep%%'"
        return database.execute_sql(query).fetchone() is None


def test_a_server_that_accepts_and_is_silent_holds_up_no_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool, "CONNECT_TIMEOUT", 1)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        configure(Settings(database_url=f"postgresql://127.0.0.1:{port}/nowhere", threads=8))
        started = time.monotonic()
        with ThreadPoolExecutor(8) as threads:
            errors = [threads.submit(read_task, 1).exception() for _ in range(8)]
        assert {type(error) for error in errors} == {DatabaseUnavailable}
        assert time.monotonic() - started < 4  # one after the other it would be 8


def test_a_read_is_repeated_once_after_its_connection_broke(app: Flask) -> None:
    tries = []

    @repeatable
    def read() -> int:
        with borrowed():
            tries.append(1)
            if len(tries) in breaks:
                database.execute_sql("SELECT pg_terminate_backend(pg_backend_pid())")
            return int(database.execute_sql("SELECT 42").fetchone()[0])

    breaks = {1}
    assert read() == 42
    breaks = {3, 4}
    with pytest.raises(ConnectionLost):
        read()
    assert len(tries) == 4


def test_a_transaction_begins_with_its_first_statement_in_one_message(app: Flask) -> None:
    mine = "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    with borrowed():
        with database.atomic():
            assert database.execute_sql(mine).fetchone()[0] == f"BEGIN; {mine}"
            assert _transaction() == TRANSACTION_STATUS_INTRANS
        assert _transaction() == TRANSACTION_STATUS_IDLE
        assert database.execute_sql(mine).fetchone()[0] == mine


@pytest.mark.parametrize("statements", [(), ("SELECT 1",), ("SELECT 1 / 0",), ("SELECT 1", "x")])
def test_a_transaction_that_fails_leaves_none_behind(
    app: Flask, statements: tuple[str, ...]
) -> None:
    with borrowed():
        with pytest.raises((ZeroDivisionError, PeeweeException)), database.atomic():
            with database.atomic():  # a savepoint
                for statement in statements:
                    database.execute_sql(statement)
            raise ZeroDivisionError
        assert _transaction() == TRANSACTION_STATUS_IDLE
        assert database.execute_sql("SHOW transaction_isolation").fetchone()[0] == "read committed"
        with database.atomic():
            pass
        assert _transaction() == TRANSACTION_STATUS_IDLE
        with database.atomic(isolation_level="serializable"):
            found = database.execute_sql("SHOW transaction_isolation").fetchone()[0]
        assert found == "serializable"


def _transaction() -> int:
    return int(database.connection().info.transaction_status)


def test_a_failed_attempt_to_connect_takes_no_place_in_the_pool() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    configure(Settings(database_url=f"postgresql://127.0.0.1:{port}/nowhere", threads=2))
    for _ in range(5):
        with pytest.raises(DatabaseUnavailable, match="can't be reached"):
            read_task(1)
    assert database.lent == 0


def test_a_connection_in_the_middle_of_a_transaction_is_lent_to_nobody_else(app: Flask) -> None:
    with borrowed():
        first = database.connection()
        database.execute_sql("BEGIN")
    assert first.closed
    with borrowed():
        assert database.connection() is not first
        assert _transaction() == TRANSACTION_STATUS_IDLE


def test_who_waits_for_a_connection_gets_the_first_that_comes_back(settings: Settings) -> None:
    configure(dataclasses.replace(settings, threads=1))
    waits = threading.Event()

    def wait() -> float:
        waits.set()
        check_ready()
        return time.monotonic()

    with ThreadPoolExecutor() as pool:
        with borrowed():
            waiting = pool.submit(wait)
            waits.wait(5)
            time.sleep(0.2)
            assert not waiting.done()
            given_back = time.monotonic()
        assert waiting.result(5) - given_back < 1
    database.close_all()


def test_the_connection_that_was_used_last_is_used_first(app: Flask) -> None:
    with ThreadPoolExecutor() as pool, borrowed():
        pool.submit(check_ready).result(5)
        last = database.connection()
    for _ in range(3):
        with borrowed():
            assert database.connection() is last


def test_an_idle_connection_that_the_server_has_ended_is_replaced(
    app: Flask, database_url: str
) -> None:
    check_ready()
    with borrowed():
        ended = database.connection().info.backend_pid
    with closing(psycopg2.connect(database_url)) as other:
        other.cursor().execute("SELECT pg_terminate_backend(%s, 5000)", (ended,))
    with borrowed():
        assert database.connection().info.backend_pid != ended
        assert database.execute_sql("SELECT 42").fetchone() == (42,)


def test_a_thread_hands_the_turn_on_before_it_waits_for_a_slow_statement(
    app: Flask, steps: list[None]
) -> None:
    with borrowed():
        database.execute_sql("SELECT pg_sleep(0.1)")
    assert len(steps) == 1
