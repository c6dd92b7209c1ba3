"""Connections are borrowed for statements alone, and come back whatever happens."""

import time
from concurrent.futures import ThreadPoolExecutor

import psycopg2
import pytest
from flask import Flask
from peewee import IntegrityError

from tracker.config import Settings
from tracker.database.connection import borrowed, configure, database
from tracker.database.models import Task
from tracker.demo.github import Fault, GitHub

TASK = {"title": "Read the docs", "repository": "pallets/flask"}


def _connections(database_url: str) -> list[str]:
    """Tell the state of each connection that the service has open."""
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT state FROM pg_stat_activity WHERE application_name = 'github-task-tracker'"
            " AND datname = current_database()"
        )
        states = [state for (state,) in cursor.fetchall()]
    connection.close()
    return states


def test_no_connection_is_held_while_github_is_asked(
    app: Flask, github: GitHub, database_url: str
) -> None:
    github.fault = Fault(delay=0.5)
    with ThreadPoolExecutor() as pool:
        creating = pool.submit(app.test_client().post, "/tasks", json=TASK)
        time.sleep(0.25)
        assert not creating.done()
        assert database.lent == 0
        assert _connections(database_url) == []
        assert creating.result().status_code == 201


def test_a_connection_is_used_again(app: Flask, database_url: str) -> None:
    client = app.test_client()
    for _ in range(5):
        assert client.get("/tasks/1").status_code == 404
    assert _connections(database_url) == ["idle"]


def test_threads_have_no_more_connections_than_the_pool(app: Flask, database_url: str) -> None:
    with ThreadPoolExecutor(16) as pool:
        answers = pool.map(lambda _: app.test_client().get("/tasks/1").status_code, range(100))
    assert set(answers) == {404}
    assert len(_connections(database_url)) <= 4


def test_a_connection_comes_back_from_a_failed_block(app: Flask, database_url: str) -> None:
    with pytest.raises(IntegrityError), borrowed(), database.atomic():
        Task.create(title="", repository="pallets/flask")
    assert database.lent == 0
    assert _connections(database_url) == ["idle"]


def test_a_connection_that_the_server_ended_is_replaced(app: Flask, database_url: str) -> None:
    client = app.test_client()
    assert client.get("/tasks/1").status_code == 404
    with psycopg2.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE application_name = 'github-task-tracker' AND datname = current_database()"
        )
    connection.close()
    assert client.get("/tasks/1").status_code == 404


def test_a_block_inside_another_shares_its_connection(app: Flask) -> None:
    with borrowed():
        outer = database.connection()
        with borrowed():
            assert database.connection() is outer
        assert not database.is_closed()
    assert database.is_closed()


def test_options_in_the_url_are_kept_beside_ours(database_url: str) -> None:
    configure(Settings(database_url=f"{database_url} options='-c work_mem=1234kB'"))
    with borrowed():
        rows = [
            database.execute_sql(f"SHOW {name}").fetchone()[0]
            for name in ("work_mem", "statement_timeout", "timezone")
        ]
    assert rows == ["1234kB", "5s", "UTC"]
    database.close_all()
