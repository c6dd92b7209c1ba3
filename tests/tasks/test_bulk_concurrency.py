"""Changes of many tasks beside other changes: they wait for each other, and never for ever."""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from flask import Flask
from flask.testing import FlaskClient

from helpers import wait_for
from tracker.config import Settings
from tracker.database.connection import connection
from tracker.database.errors import DEADLOCK, PROBLEMS, Problem
from tracker.database.models import Task


@pytest.fixture
def other(settings: Settings) -> Iterator[psycopg2.extensions.cursor]:
    """A transaction of another request, which is rolled back if the test does not commit it."""
    with closing(psycopg2.connect(settings.database_url)) as session, session.cursor() as cursor:
        yield cursor


@pytest.fixture
def send(app: Flask) -> Callable[..., Any]:
    """Send a request, as a client of its own; return the response's JSON."""
    return lambda path, method, **body: (
        app.test_client().open(path, method=method, json=body).get_json()
    )


def waiting(settings: Settings) -> int:
    """Return the number of transactions that wait for another."""
    with closing(psycopg2.connect(settings.database_url)) as session, session.cursor() as cursor:
        cursor.execute(
            "SELECT count(DISTINCT pid) FROM pg_stat_activity JOIN pg_locks USING (pid) "
            "WHERE NOT granted AND datname = current_database()"
        )
        (number,) = cursor.fetchone() or (0,)
        return int(number)


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_a_task_that_changes_meanwhile_is_left_as_it_is(
    settings: Settings,
    add: Callable[..., int],
    ids: Callable[..., list[int]],
    send: Callable[..., Any],
    other: psycopg2.extensions.cursor,
    method: str,
) -> None:
    first, second = add(), add()
    other.execute("UPDATE tasks SET status = 'done' WHERE id = %s", (second,))
    with ThreadPoolExecutor() as pool:
        found = pool.submit(send, "/tasks?status=open", method, status="in_progress")
        wait_for(lambda: waiting(settings) == 1)
        other.connection.commit()
    assert found.result() == {"matched": 2, "changed": 1}
    assert ids("status=done") == [second]
    assert ids("status=in_progress") == ([first] if method == "PATCH" else [])


def test_changes_of_many_tasks_wait_for_each_other(
    settings: Settings,
    client: FlaskClient,
    add: Callable[..., int],
    send: Callable[..., Any],
    other: psycopg2.extensions.cursor,
) -> None:
    held, open_task, refreshed = add(status="done"), add(), add(repository="git/git")
    other.execute("SELECT id FROM tasks WHERE id = %s FOR UPDATE", (held,))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(send, "/tasks?status=done", "PATCH", title="first")
        wait_for(lambda: waiting(settings) == 1)
        others = [
            pool.submit(send, "/tasks?repository=git/git", "PATCH", title="second"),
            pool.submit(send, f"/tasks/{refreshed}/refresh", "POST"),
        ]
        wait_for(lambda: waiting(settings) == 3)
        # A change of one task waits for none of them.
        assert client.patch(f"/tasks/{open_task}", json={"title": "x"}).status_code == 200
        other.connection.rollback()
    assert first.result() == {"matched": 1, "changed": 1}
    assert others[0].result() == {"matched": 1, "changed": 1}
    assert others[1].result()["metadata_status"] == "current"


def test_refreshes_of_two_repositories_do_not_wait_for_each_other(
    settings: Settings,
    add: Callable[..., int],
    send: Callable[..., Any],
    other: psycopg2.extensions.cursor,
) -> None:
    held, free = add(), add(repository="git/git")
    other.execute("SELECT id FROM tasks WHERE id = %s FOR UPDATE", (held,))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(send, f"/tasks/{held}/refresh", "POST")
        wait_for(lambda: waiting(settings) == 1)
        assert send(f"/tasks/{free}/refresh", "POST")["metadata_status"] == "current"
        other.connection.rollback()
    assert first.result()["metadata_status"] == "current"


def test_writes_and_refreshes_at_a_time_are_no_deadlock(
    client: FlaskClient, add: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PROBLEMS, DEADLOCK, Problem("A deadlock."))  # so that none is retried
    ids = [add(title=str(number), tags=["a"], issue=number + 1) for number in range(300)]
    for task_id in reversed(ids[::3]):  # the order on disk is not that of the ids
        assert client.patch(f"/tasks/{task_id}", json={"title": "moved"}).status_code == 200
    barrier = threading.Barrier(3)

    def write(path: str, method: str, **body: Any) -> list[int]:
        sender = client.application.test_client()
        barrier.wait()
        return [
            sender.open(path, method=method, json=body | {"title": f"{method} {n}"}).status_code
            for n in range(5)
        ]

    with ThreadPoolExecutor(3) as pool:
        found = [
            pool.submit(write, "/tasks?tag=a", "PATCH"),
            pool.submit(write, "/tasks?repository=pallets/flask", "PATCH"),
            pool.submit(write, f"/tasks/{ids[0]}/refresh", "POST"),
        ]
        statuses = [status for future in found for status in future.result()]
    assert statuses == [200] * 15


@pytest.mark.slow  # test_bulk.py has a few tasks
def test_ten_thousand_tasks_are_changed_in_one_request(
    client: FlaskClient, add: Callable[..., int]
) -> None:
    columns = [Task.title, Task.repository, Task.tags]
    with connection():
        Task.insert_many([("t", "git/git", ["a"])] * 10_000, columns).execute()
    body = {"status": "done", "add_tags": ["b"], "remove_tags": ["a"]}
    for changed in (10_000, 0):
        response = client.patch("/tasks?repository=git/git", json=body)
        assert response.get_json() == {"matched": 10_000, "changed": changed}
    response = client.delete("/tasks?tag=b&expect=10000")
    assert response.get_json() == {"matched": 10_000, "changed": 10_000}
