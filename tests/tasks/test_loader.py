"""Requests that arrive together read their tasks with one statement."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Thread
from typing import Any

import psycopg2
import pytest
from flask import Flask

from helpers import PATIENCE
from patched import run_patched
from tracker.config import Settings
from tracker.database.connection import connection, database
from tracker.database.queries import TaskJSON, insert_task, read_tasks
from tracker.tasks.loader import loader

# A worker of gunicorn in small: patched first, then requests as greenlets. It prints for each
# group of concurrent reads how many statements were executed, and the result of each read.
GREENLETS = """
from tracker.config import Settings
from tracker.database.connection import configure, database
from tracker.database.driver import use_gevent
from tracker.errors import DatabaseUnavailable
from tracker.tasks.loader import loader

use_gevent()
statements = []
database.query_hooks.append(lambda event: statements.append(event.sql))

def load(task_id):
    try:
        task = loader.load(task_id)
        return task and json.loads(task.json)["title"]
    except DatabaseUnavailable as error:
        return str(error)

found = []
for url, task_ids in values["groups"]:
    configure(Settings(database_url=url, database_pool_size=5))
    statements.clear()
    reads = [gevent.spawn(load, task_id) for task_id in task_ids]
    results = [read.get() for read in reads]
    count = sum(not statement.startswith("PREPARE") for statement in statements)
    found.append([count, results])
print(json.dumps(found))
"""


def add(title: str) -> int:
    with connection():
        return insert_task({"title": title, "repository": "pallets/flask"}).id


@pytest.fixture
def statements(app: Flask) -> Iterator[list[str]]:
    """The statements that are executed, but for PREPARE."""
    found: list[str] = []

    def note(event: Any) -> None:
        if not event.sql.startswith("PREPARE"):
            found.append(event.sql)

    database.query_hooks.append(note)
    yield found
    database.query_hooks.remove(note)


def test_greenlets_share_one_statement(app: Flask, settings: Settings) -> None:
    ids = [add("one"), add("two")]
    groups = [
        (settings.database_url, [*ids, ids[0], 0, *[ids[1]] * 96]),
        (settings.database_url, ids[:1]),
        ("postgresql://127.0.0.1:1/nowhere", ids * 10),
        (settings.database_url, ids),
    ]
    unreachable = "Database can't be reached; try again."
    assert run_patched(GREENLETS, groups=groups) == [
        [1, ["one", "two", "one", None, *["two"] * 96]],
        [1, ["one"]],
        [0, [unreachable] * 20],
        [1, ["one", "two"]],
    ]


def test_each_thread_gets_its_own_task(statements: list[str]) -> None:
    titles = {add(letter): letter for letter in "abcdefgh"}
    ids = [*titles, 0] * 20
    statements.clear()
    with ThreadPoolExecutor(8) as pool:
        tasks = dict(zip(ids, pool.map(loader.load, ids), strict=True))
    assert tasks.pop(0) is None
    assert {task_id: title(task) for task_id, task in tasks.items()} == titles
    assert 0 < len(statements) <= len(ids)


@pytest.mark.parametrize("number", [1, 2, 3, 5, 64, 65, 130])
def test_any_number_of_tasks_is_read(app: Flask, number: int) -> None:
    with connection():
        first = insert_task({"title": "first", "repository": "pallets/flask"}).id
        made = [insert_task({"title": str(n), "repository": "a/b"}).id for n in range(1, number)]
        ids = [first, *made]
        assert sorted(read_tasks([*ids, 0])) == ids
        assert sorted(read_tasks(ids)) == ids


def test_postgresql_keeps_the_plan_of_a_read(app: Flask) -> None:
    ids = [add(letter) for letter in "abc"]
    with connection():
        for _ in range(10):
            read_tasks(ids)
        plans = database.execute_sql(
            "SELECT generic_plans FROM pg_prepared_statements WHERE statement LIKE '%%IN%%$4)%%'"
        )
        assert any(generic for (generic,) in plans.fetchall())


def title(task: TaskJSON | None) -> str:
    assert task is not None
    return str(json.loads(task.json)["title"])


def test_a_change_after_a_batch_is_closed_is_read(app: Flask, settings: Settings) -> None:
    task_id = add("old")
    later: list[TaskJSON | None] = []
    reader = Thread(target=lambda: later.append(loader.load(task_id)), daemon=True)

    def change(event: Any) -> None:
        """Change the task and read it again, after the statement of the first read."""
        if reader.ident or event.sql.startswith("PREPARE"):
            return
        with closing(psycopg2.connect(settings.database_url)) as other, other.cursor() as cursor:
            cursor.execute("UPDATE tasks SET title = 'new' WHERE id = %s", (task_id,))
            other.commit()
        reader.start()
        reader.join(PATIENCE)

    database.query_hooks.append(change)
    try:
        assert title(loader.load(task_id)) == "old"
    finally:
        database.query_hooks.remove(change)
    assert [title(task) for task in later] == ["new"]
