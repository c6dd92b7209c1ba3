"""A connection of the pool: noticed when it is dead, given up when its server does not answer."""

import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask

from service import wait_for
from tracker import pool
from tracker.config import Settings
from tracker.database import ConnectionLost, borrowed, configure, database, repeatable
from tracker.errors import DatabaseUnavailable
from tracker.services import check_ready, get_task


def test_a_statement_that_the_server_does_not_answer_is_given_up(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool.Connection, "patience", 0.2)
    started = time.monotonic()
    with pytest.raises(ConnectionLost), borrowed():
        database.execute_sql("SELECT pg_sleep(1)")
    assert time.monotonic() - started < 1
    assert database._in_use == {}
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
            errors = [threads.submit(get_task, 1).exception() for _ in range(8)]
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
