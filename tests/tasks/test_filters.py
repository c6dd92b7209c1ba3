"""Filters of a list: each selects the tasks that it names, and no others."""

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from flask.testing import FlaskClient

METADATA = {
    "repository_id": 596892,
    "repository_url": "https://github.com/pallets/flask",
    "stars": 70000,
    "archived": False,
    "metadata_status": "current",
    "metadata_fetched_at": datetime(2030, 1, 1, tzinfo=timezone.utc),
}


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
