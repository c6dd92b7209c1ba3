"""Numbers of tasks: each task that the filters select is counted once for what it has."""

from collections import Counter
from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from tracker.database.connection import connection
from tracker.database.models import Task

DAYS = ["2029-12-31", "2030-01-01", "2030-01-02", "2030-01-08", "2030-01-09", None]
PERIODS = ["overdue", "today", "week", "week", "later", "none"]
TASKS = st.fixed_dictionaries(
    {
        "status": st.sampled_from(["open", "in_progress", "done"]),
        "priority": st.sampled_from(["low", "normal", "high"]),
        "tags": st.lists(st.sampled_from(["a", "A", "ä", "Ä", "b"]), unique_by=str.lower),
        "language": st.sampled_from(["C", "Python", None]),
        "repository": st.sampled_from(["git/git", "Git/git", "psf/requests"]),
        "due_date": st.sampled_from(DAYS),
    }
)
BY: dict[str, Callable[[dict[str, Any]], list[str]]] = {
    "status": lambda task: [task["status"]],
    "priority": lambda task: [task["priority"]],
    "tag": lambda task: [tag.lower() for tag in task["tags"]],
    "language": lambda task: [(task["language"] or "none").lower()],
    "repository": lambda task: [task["repository"].lower()],
    "due": lambda task: [PERIODS[DAYS.index(task["due_date"])]],
}

QUERIES: dict[str, Callable[[dict[str, Any]], bool]] = {
    "": lambda task: True,
    "&status=open&status=done": lambda task: task["status"] != "in_progress",
    "&due=none&owner=git": lambda task: not task["due_date"] and "/git" in task["repository"],
}


@pytest.fixture
def count(client: FlaskClient) -> Callable[[str], dict[str, int]]:
    """Return the numbers that a query counts, in the order of the response."""

    def count(query: str) -> dict[str, int]:
        response = client.get(f"/tasks/counts?{query}")
        assert response.status_code == 200, response.json
        return dict(response.get_json())

    return count


@given(tasks=st.lists(TASKS, max_size=10))
def test_the_numbers_are_those_that_plain_python_counts(
    add: Callable[..., int],
    count: Callable[[str], dict[str, int]],
    tasks: list[dict[str, Any]],
) -> None:
    with connection():
        Task.delete().execute()
    for task in tasks:
        add(**task)
    for query, selects in QUERIES.items():
        selected = [task for task in tasks if selects(task)]
        for by, names in BY.items():
            expected = Counter(name for task in selected for name in names(task))
            found = count(f"by={by}&today=2030-01-01{query}")
            assert {name.lower(): n for name, n in found.items() if n} == expected, (by, query)


def test_choices_have_their_own_order_and_zeros(
    add: Callable[..., int], count: Callable[[str], dict[str, int]]
) -> None:
    assert list(count("by=status").items()) == [("open", 0), ("in_progress", 0), ("done", 0)]
    assert list(count("by=priority").items()) == [("low", 0), ("normal", 0), ("high", 0)]
    assert list(count("by=due")) == ["overdue", "today", "week", "later", "none"]
    assert [count(f"by={by}") for by in ("tag", "language", "repository")] == [{}, {}, {}]


def test_names_are_in_the_order_of_their_numbers(
    add: Callable[..., int], count: Callable[[str], dict[str, int]]
) -> None:
    for tags in (["b"], ["c", "b"], ["c", "a"], ["c"]):
        add(tags=tags, language="C" if "c" in tags else None)
    assert list(count("by=tag").items()) == [("c", 3), ("b", 2), ("a", 1)]
    assert list(count("by=language").items()) == [("C", 3), ("none", 1)]


def test_a_name_is_spelled_as_most_tasks_spell_it(
    add: Callable[..., int], count: Callable[[str], dict[str, int]]
) -> None:
    for tag, repository in (("bug", "git/git"), ("Bug", "Git/Git"), ("Bug", "Git/Git")):
        add(tags=[tag], repository=repository)
    add(tags=["x", "X\u0130"])
    assert count("by=tag") == {"Bug": 3, "x": 1, "X\u0130": 1}
    assert count("by=repository") == {"Git/Git": 3, "pallets/flask": 1}


def test_only_the_hundred_most_frequent_names_are_counted(
    add: Callable[..., int], count: Callable[[str], dict[str, int]]
) -> None:
    for start in range(0, 120, 20):
        add(tags=[f"{number:03}" for number in range(start, start + 20)])
    add(tags=["110"])
    found = list(count("by=tag").items())
    assert (len(found), found[0], found[1], found[-1]) == (100, ("110", 2), ("000", 1), ("098", 1))


def test_without_a_day_of_the_client_it_is_that_of_utc(
    add: Callable[..., int], count: Callable[[str], dict[str, int]]
) -> None:
    before = datetime.now(timezone.utc).date()
    add(due_date=before)
    found = count("by=due")
    if datetime.now(timezone.utc).date() == before:
        assert found == {"overdue": 0, "today": 1, "week": 0, "later": 0, "none": 0}
    assert count("by=due&today=9999-12-31")["overdue"] == 1
    assert count("by=due&today=0001-01-01")["later"] == 1


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", "by"),
        ("by=", "by"),
        ("by=stars", "by"),
        ("by=status&by=due", "by"),
        ("by=due&today=today", "today"),
        ("by=due&today=2030-02-30", "today"),
        ("by=status&status=closed", "status"),
        ("by=status&sort=title", "sort"),
        ("by=status&limit=1", "limit"),
        ("by=status&total=true", "total"),
    ],
)
def test_an_invalid_count_is_422_and_named(client: FlaskClient, query: str, named: str) -> None:
    response = client.get(f"/tasks/counts?{query}")
    assert response.status_code == 422
    assert list(response.get_json()["errors"]["query"]) == [named]
