"""Filters of a list: each selects the tasks that it names, and no others."""

import re
from collections.abc import Callable
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from helpers import ROOT
from samples import METADATA
from tracker.database.connection import connection, database
from tracker.database.models import Task
from tracker.tasks.filters import FILTERS


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("status=done", {"status": "done"}),
        ("priority=high", {"priority": "high"}),
        ("tag=a", {"tags": ["b", "a"]}),
        ("tag=%C3%84A", {"tags": ["\u00e4a"]}),
        ("tag=a&tag=b", {"tags": ["c", "b", "a"]}),
        ("repository=Git/GIT", {"repository": "git/git"}),
        ("repository=https://github.com/git/git.git", {"repository": "git/git"}),
        ("archived=true", {"archived": True}),
        ("metadata_status=current", METADATA),
        ("due_before=2030-01-02", {"due_date": "2030-01-01"}),
        ("q=needle", {"title": "a Needle in hay"}),
        ("status=done&status=done", {"status": "done"}),
        ("owner=Git", {"repository": "GIT/x"}),
        ("fork=true", {"fork": True}),
        ("language=c%2B%2B", {"language": "C++"}),
        ("license=mit", {"license": "MIT"}),
        ("topic=Web&topic=api", {"topics": ["api", "x", "web"]}),
        ("due=none&priority=high", {"priority": "high"}),
        ("due_after=2030-01-02", {"due_date": "2030-01-03"}),
        ("pushed_before=2030-01-01T00:00:00Z", {"pushed_at": "2029-12-31T23:59:59Z"}),
        ("pushed_before=2030-01-01T01:00:00%2B01:00", {"pushed_at": "2029-12-31T23:59:59Z"}),
        (
            "completed_after=2030-01-01T00:00:00Z",
            {"status": "done", "completed_at": "2030-01-01T00:00:01Z"},
        ),
        ("created_after=2090-01-01T00:00:00Z", {"created_at": "2090-01-01T00:00:01Z"}),
        ("updated_since=2090-01-01T00:00:00Z", {"updated_at": "2090-01-01T00:00:00Z"}),
        ("status=done&priority=high&tag=a", {"status": "done", "priority": "high", "tags": ["a"]}),
    ],
)
def test_a_filter_selects_the_tasks_that_it_names(
    client: FlaskClient,
    add: Callable[..., int],
    ids: Callable[..., list[int]],
    query: str,
    values: dict[str, Any],
) -> None:
    add()
    add(status="in_progress", priority="low", tags=["aa", "other"], due_date="2030-01-02")
    selected = add(**values)
    assert ids(query) == [selected]
    response = client.get(f"/tasks?{query}&total=true")
    assert response.headers["X-Total-Count"] == "1"


@pytest.mark.parametrize(
    "query",
    ["tag=a&tag=b", "archived=false", "status=done&priority=low", "due_before=2030-01-01"],
)
def test_a_task_has_to_match_every_filter(
    add: Callable[..., int], ids: Callable[..., list[int]], query: str
) -> None:
    add(tags=["a"], due_date="2030-01-01", status="done", priority="high")
    assert ids(query) == []


TIME = datetime(2030, 1, 2, tzinfo=timezone.utc)
TIMES = st.sampled_from([TIME + timedelta(seconds=offset) for offset in (-1, 0, 1)])
DAYS = st.sampled_from([TIME.date() + timedelta(days=offset) for offset in (-1, 0, 1)])
TASKS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["open", "in_progress", "done"]),
        "priority": st.sampled_from(["low", "normal", "high"]),
        "metadata_status": st.sampled_from(["pending", "unavailable"]),
        "tags": st.lists(st.sampled_from(["x", "Y"]), unique=True),
        "due_date": st.none() | DAYS,
        "repository": st.sampled_from(["a/b", "a/C", "A/b", "a-/b", "a0/b", "ab/c"]),
        "archived": st.none() | st.booleans(),
        "fork": st.none() | st.booleans(),
        "language": st.sampled_from([None, "Python", "C"]),
        "license": st.sampled_from([None, "MIT", "GPL-3.0"]),
        "topics": st.none() | st.lists(st.sampled_from(["p", "q"]), unique=True),
        "pushed_at": st.none() | TIMES,
        "completed_at": st.none() | TIMES,
        "created_at": TIMES,
        "updated_at": TIMES,
    }
).map(lambda task: task if task["status"] == "done" else {**task, "completed_at": None})


def lower(value: str | None) -> str | None:
    return value and value.lower()


NOW, TODAY = "2030-01-02T00:00:00Z", date(2030, 1, 2)
SELECTS: dict[str, Callable[[Task], Any]] = {
    "status=open&status=in_progress": lambda task: task.status != "done",
    "priority=low&priority=high": lambda task: task.priority != "normal",
    "metadata_status=pending": lambda task: task.metadata_status == "pending",
    "tag=X&tag=y": lambda task: {"x", "Y"} <= set(task.tags),
    "repository=a/b": lambda task: task.repository.lower() == "a/b",
    "owner=A": lambda task: task.repository.lower().startswith("a/"),
    "archived=false": lambda task: task.archived is False,
    "fork=false": lambda task: task.fork is False,
    "language=python&language=Go": lambda task: task.language == "Python",
    "license=mit&license=gpl-3.0": lambda task: lower(task.license) in ("mit", "gpl-3.0"),
    "topic=p&topic=q": lambda task: {"p", "q"} <= set(task.topics or []),
    "due=none": lambda task: task.due_date is None,
    "due_before=2030-01-02": lambda task: task.due_date and task.due_date < TODAY,
    "due_after=2030-01-02": lambda task: task.due_date and task.due_date > TODAY,
    f"created_after={NOW}": lambda task: task.created_at > TIME,
    f"updated_since={NOW}": lambda task: task.updated_at >= TIME,
    f"pushed_before={NOW}": lambda task: task.pushed_at and task.pushed_at < TIME,
    f"completed_after={NOW}": lambda task: task.completed_at and task.completed_at > TIME,
    "q=b": lambda task: task.repository.endswith("/b"),
}


def test_every_filter_is_compared_with_plain_python() -> None:
    assert {query.partition("=")[0] for query in SELECTS} == FILTERS.keys()


@given(
    tasks=st.lists(TASKS, min_size=4, max_size=12),
    pair=st.sets(st.sampled_from(sorted(SELECTS)), max_size=2),
)
def test_a_list_has_the_tasks_that_plain_python_selects(
    app: Flask, tasks: list[dict[str, Any]], pair: set[str]
) -> None:
    with connection():
        database.execute_sql("TRUNCATE tasks")
        rows = [Task.create(title="t", **task) for task in tasks]
    client = app.test_client()
    for query in (*SELECTS, "&".join(pair)):
        queries = pair if query not in SELECTS else {query}
        response = client.get(f"/tasks?{query}&limit=100&total=true")
        assert response.status_code == 200, response.json
        expected = {row.id for row in rows if all(SELECTS[each](row) for each in queries)}
        assert {task["id"] for task in response.get_json()} == expected, query
        assert response.headers["X-Total-Count"] == str(len(expected))


def test_the_documentation_has_each_filter_as_it_is_declared() -> None:
    section = (ROOT / "docs/api.md").read_text().partition("### Filters\n")[2]
    rows = re.findall(r"^\| `(\w+)` \| (.+) \|$", section.partition("\n### ")[0], re.MULTILINE)
    assert rows == [(name, declared.description) for name, declared in FILTERS.items()]
