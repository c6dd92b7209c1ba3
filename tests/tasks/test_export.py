"""Exports: the tasks that filters select, each as GET returns it, from one moment."""

import csv
import io
import json
import re
from collections.abc import Callable
from datetime import date, datetime, timezone
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from gated import busy_connections
from helpers import wait_for
from tracker.config import Settings
from tracker.database.connection import connection, database
from tracker.database.models import Task
from tracker.errors import DatabaseTimeout
from tracker.tasks import export
from tracker.tasks.export import BATCH
from tracker.tasks.spreadsheet import COLUMNS, unguard

LINE = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), max_size=20)
TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=30)
MARKS = st.text("'\"=+-@\t\r\n,;\\ x", max_size=8)
TIMES = st.datetimes(datetime(1970, 1, 1), datetime(2100, 1, 1), timezones=st.just(timezone.utc))
TASKS = st.fixed_dictionaries(
    {
        "title": st.tuples(
            st.sampled_from(["x", "=1", "'-1", "@x", "'tis"]), st.sampled_from("üx")
        ).map("".join),
        "description": st.none() | TEXT | MARKS,
        "status": st.sampled_from(["open", "in_progress", "done"]),
        "priority": st.sampled_from(["low", "normal", "high"]),
        "tags": st.lists(st.sampled_from(["a", "-b", "=c,d", "'e", '"f"']), unique=True),
        "due_date": st.none() | st.dates(date(1, 1, 1)),
        "repository": st.sampled_from(["a/b", "-a/-b"]),
        "issue": st.none() | st.integers(1, 2**31 - 1),
        "repository_description": st.none() | TEXT,
        "stars": st.none() | st.integers(0, 2**53),
        "language": st.none() | LINE,
        "archived": st.none() | st.booleans(),
        "topics": st.none() | st.lists(st.sampled_from(["p", "q-r"]), unique=True),
        "pushed_at": st.none() | TIMES,
        "created_at": TIMES,
        "version": st.integers(1, 2**53),
    }
)


@given(tasks=st.lists(TASKS, max_size=4))
def test_an_export_has_each_task_as_get_returns_it(app: Flask, tasks: list[dict[str, Any]]) -> None:
    with connection():
        database.execute_sql("TRUNCATE tasks")
        ids = [Task.create(**task).id for task in tasks]
    client = app.test_client()
    got = [client.get(f"/tasks/{task_id}") for task_id in sorted(ids)]
    assert client.get("/tasks/export").text == "".join(response.text for response in got)
    text = client.get("/tasks/export?format=csv").text
    header, *rows = csv.reader(io.StringIO(text, newline=""), strict=True)
    assert header == COLUMNS
    expected = [response.get_json() for response in got]
    assert [read_row(header, row) for row in rows] == [emptied(task) for task in expected]


def read_row(header: list[str], row: list[str]) -> dict[str, Any]:
    """Return the task in a row, with null for each empty cell."""
    task: dict[str, Any] = {}
    for name, cell in zip(header, row, strict=True):
        text = unguard(cell)
        if name in {"tags", "topics"}:
            task[name] = text.split("\n") if text else None
        elif name in {"id", "issue", "stars", "version", "archived", "fork"} and text:
            task[name] = json.loads(text)
        else:
            task[name] = text or None
    return task


def emptied(task: dict[str, Any]) -> dict[str, Any]:
    """Return a task with null in place of an empty text or list, which a cell can't tell apart."""
    return {name: None if value in ("", []) else value for name, value in task.items()}


@pytest.mark.parametrize("few", [0, export.FEW])
@pytest.mark.parametrize("query", ["", "status=done", "tag=A&priority=high", "q=find"])
def test_an_export_has_the_tasks_of_the_list(
    client: FlaskClient,
    add: Callable[..., int],
    ids: Callable[..., list[int]],
    monkeypatch: pytest.MonkeyPatch,
    query: str,
    few: int,
) -> None:
    monkeypatch.setattr(export, "FEW", few)
    for status in ("open", "done"):
        add(status=status, title="find it")
        add(status=status, priority="high", tags=["a"])
    lines = client.get(f"/tasks/export?{query}").text.splitlines()
    exported = [json.loads(line)["id"] for line in lines]
    assert exported
    assert exported == sorted(ids(query))


@pytest.mark.parametrize(
    ("query", "media_type", "name"),
    [
        ("", "application/jsonl", "jsonl"),
        ("format=jsonl", "application/jsonl", "jsonl"),
        ("format=csv", "text/csv; charset=utf-8; header=present", "csv"),
    ],
)
def test_an_export_is_a_file_with_a_dated_name(
    client: FlaskClient, query: str, media_type: str, name: str
) -> None:
    response = client.get(f"/tasks/export?{query}")
    assert response.headers["Content-Type"] == media_type
    pattern = rf'attachment; filename="tasks-\d{{4}}-\d\d-\d\d\.{name}"'
    assert re.fullmatch(pattern, response.headers["Content-Disposition"])
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    "query", ["format=xlsx", "sort=id", "limit=1", "total=true", "cursor=x", "status=lost"]
)
def test_an_invalid_parameter_of_an_export_is_422(client: FlaskClient, query: str) -> None:
    response = client.get(f"/tasks/export?{query}")
    assert response.status_code == 422
    assert query.partition("=")[0] in response.get_json()["errors"]["query"]


def test_an_export_is_from_one_moment(
    client: FlaskClient, settings: Settings, add: Callable[..., int]
) -> None:
    before = [add() for _ in range(BATCH + 1)]
    batches = export.export_batches(settings, {})
    tasks = next(batches)
    client.delete(f"/tasks/{before[-1]}")
    add()
    tasks += [task for batch in batches for task in batch]
    assert [json.loads(task)["id"] for task in tasks] == before


def test_an_export_has_a_time_limit(
    settings: Settings, add: Callable[..., int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(BATCH + 1):
        add()
    monkeypatch.setattr(export, "EXPORT_TIMEOUT", 0)
    batches = export.export_batches(settings, {})
    assert len(next(batches)) == BATCH
    with pytest.raises(DatabaseTimeout, match="longer than 0 seconds"):
        next(batches)
    # PostgreSQL ends the process of a closed connection a moment later.
    wait_for(lambda: busy_connections(settings.database_url) == 0)


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_export_that_is_not_read_releases_everything(
    client: FlaskClient, settings: Settings, add: Callable[..., int], method: str
) -> None:
    for _ in range(2 * BATCH):
        add()
    for _ in range(3):  # one more than there may be at a time
        response = client.open("/tasks/export", method=method)
        assert response.status_code == 200
        response.close()
    # PostgreSQL ends the process of a closed connection a moment later.
    wait_for(lambda: busy_connections(settings.database_url) == 0)
