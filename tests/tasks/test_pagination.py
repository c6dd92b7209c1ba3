"""Lists of tasks: orders, pages and their links."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date, datetime, timedelta, timezone
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from peewee import fn

from helpers import next_url
from tracker.database.connection import connection, database
from tracker.database.models import Priority, Status, Task
from tracker.tasks import page_queries
from tracker.tasks.pagination import Cursor, read_page
from tracker.tasks.sorting import SORT_COLUMNS, SORTS

Add = Callable[..., int]
# The examples share one application, and delete the tasks that would disturb others.


def walk(client: FlaskClient, query: str) -> Iterator[list[dict[str, Any]]]:
    """Yield each page of a list, by its Link headers."""
    url: str | None = f"/tasks?{query}"
    while url:
        response = client.get(url)
        assert response.status_code == 200, response.json
        yield response.get_json()
        url = next_url(response)


def test_an_empty_list_is_an_empty_array(client: FlaskClient) -> None:
    response = client.get("/tasks?total=true")
    assert response.get_json() == []
    assert response.headers["X-Total-Count"] == "0"
    assert "Link" not in response.headers


def test_a_list_has_whole_tasks_newest_first(client: FlaskClient, add: Add) -> None:
    tasks = [client.get(f"/tasks/{add()}").get_json() for _ in range(2)]
    assert client.get("/tasks").get_json() == tasks[::-1]


def test_each_order_puts_nulls_last_and_ties_by_id(
    client: FlaskClient, add: Add, ids: Callable[..., list[int]]
) -> None:
    time = datetime(2030, 1, 1, tzinfo=timezone.utc)
    first = add(title="b", priority="high", stars=5, due_date="2030-01-02", pushed_at=time)
    second = add(title="a", priority="low")
    third = add(title="b", priority="normal", stars=7, due_date="2030-01-02")
    client.patch(f"/tasks/{third}", json={"status": "done"})
    client.patch(f"/tasks/{first}", json={"description": "changed last", "status": "done"})
    assert {sort: ids(f"sort={sort}") for sort in SORTS} == {
        "created_at": [first, second, third],
        "-created_at": [third, second, first],
        "updated_at": [second, third, first],
        "-updated_at": [first, third, second],
        "completed_at": [third, first, second],
        "-completed_at": [first, third, second],
        "due_date": [first, third, second],
        "-due_date": [third, first, second],
        "priority": [second, third, first],
        "-priority": [first, third, second],
        "stars": [first, third, second],
        "-stars": [third, first, second],
        "pushed_at": [first, second, third],
        "-pushed_at": [first, third, second],
        "title": [second, first, third],
        "-title": [third, first, second],
    }


def test_titles_sort_without_case_and_accents_first(
    add: Add, ids: Callable[..., list[int]], client: FlaskClient
) -> None:
    titles = ["1", "A", "a", "ä", "a b", "ab", "Éa", "eb", "z", "Ω", "я"]
    for title in reversed(titles):
        add(title=title)
    found = [task["title"] for page in walk(client, "sort=title&limit=2") for task in page]
    assert found == titles
    assert ids("sort=-title") == ids("sort=title")[::-1]


def test_a_page_links_to_the_next_with_the_same_query(client: FlaskClient, add: Add) -> None:
    tasks = [add(tags=["a b", "&"], title="x🎉") for _ in range(3)]
    response = client.get("/tasks?tag=a+b&tag=%26&limit=2&sort=title&total=true")
    following = next_url(response)
    assert following is not None
    url = urlsplit(following)
    assert (url.scheme, url.netloc, url.path) == ("http", "localhost", "/tasks")
    query = parse_qs(url.query)
    del query["cursor"]
    assert query == {
        "tag": ["a b", "&"],
        "limit": ["2"],
        "sort": ["title"],
        "total": ["true"],
    }
    response = client.get(following)
    assert [task["id"] for task in response.get_json()] == tasks[2:]
    assert response.headers["X-Total-Count"] == "3"
    assert next_url(response) is None


def test_a_large_total_is_an_estimate_that_says_so(
    client: FlaskClient, add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    for _ in range(3):
        add(status="done")
    with connection():
        database.execute_sql("ANALYZE tasks")
    monkeypatch.setattr(page_queries, "COUNT_MAX", 3)
    exact = client.get("/tasks?total=true&status=done")
    assert exact.headers["X-Total-Count"] == "3"
    assert "X-Total-Count-Estimated" not in exact.headers
    monkeypatch.setattr(page_queries, "COUNT_MAX", 2)
    estimate = client.get("/tasks?total=true&status=done")
    assert estimate.headers["X-Total-Count"] == "3"
    assert estimate.headers["X-Total-Count-Estimated"] == "true"


def test_an_estimate_has_two_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(page_queries, "estimate", lambda *_: 1_249_999)
    assert page_queries.count((), {}) == (1_200_000, True)


def test_the_last_page_has_no_link(client: FlaskClient, add: Add) -> None:
    add(), add()
    assert next_url(client.get("/tasks?limit=1"))
    assert next_url(client.get("/tasks?limit=2")) is None


def test_a_page_has_30_tasks_or_up_to_100(add: Add, ids: Callable[..., list[int]]) -> None:
    for _ in range(101):
        add()
    assert [len(ids(query)) for query in ("", "limit=100", "limit=1")] == [30, 100, 1]


def test_the_longest_title_makes_a_link_that_fits_a_request(client: FlaskClient, add: Add) -> None:
    add(title="🎉" * 200), add(title="🎉" * 200)
    (page, rest) = walk(client, "sort=title&limit=1")
    assert page[0]["id"] < rest[0]["id"]
    link = client.get("/tasks?sort=title&limit=1").headers["Link"]
    assert len(link.partition(", ")[0]) < 2_000


def choose_queries(scan_first: int, scan_max: int, sort_max: int) -> None:
    """Set the sizes by which the query that reads a page is chosen."""
    page_queries.SCAN_FIRST = scan_first
    page_queries.SCAN_MAX = scan_max
    page_queries.SORT_MAX = page_queries.COVERED_SORT_MAX = sort_max
    page_queries.ranges.cache_clear()


@pytest.fixture(autouse=True)
def usual_queries() -> Iterator[None]:
    """Set the usual sizes after the test."""
    names = ("SCAN_FIRST", "SCAN_MAX", "SORT_MAX", "COVERED_SORT_MAX")
    sizes = {name: getattr(page_queries, name) for name in names}
    yield
    vars(page_queries).update(sizes)
    page_queries.ranges.cache_clear()


def sort_key(sort: str) -> Callable[[Task], Any]:
    """Return the order of a list in plain Python: nulls last both ways, ties by id."""
    name, sign = sort.lstrip("-"), -1 if sort.startswith("-") else 1
    ranks = {priority.value: rank for rank, priority in enumerate(Priority)}

    def number(value: Any) -> Any:
        if name == "priority":
            return sign * ranks[value]
        if isinstance(value, datetime):
            value = (value - datetime(2000, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
        if isinstance(value, date):
            value = value.toordinal()
        if isinstance(value, str):
            letters = unicodedata.normalize("NFD", value.lower())
            value = "".join(filter(str.isascii, letters)) + "\1" + value
            return [sign * ord(letter) for letter in value] + ([0] if sign > 0 else [1])
        return sign * value

    def key(task: Task) -> Any:
        value = getattr(task, name)
        return (value is None, 0 if value is None else number(value), sign * task.id)

    return key


TIMES = st.sampled_from([datetime(2030, 1, day, tzinfo=timezone.utc) for day in (1, 2, 3)])
TASKS = st.fixed_dictionaries(
    {
        "title": st.sampled_from(["a", "b", "B", "c d", "é", "e f"]),
        "status": st.sampled_from([status.value for status in Status]),
        "priority": st.sampled_from([priority.value for priority in Priority]),
        "tags": st.lists(st.sampled_from(["x", "y", "z"]), unique=True),
        "due_date": st.none() | TIMES.map(lambda time: time.date()),
        "stars": st.none() | st.integers(0, 3),
        "archived": st.none() | st.booleans(),
        "pushed_at": st.none() | TIMES,
        "completed_at": st.none() | TIMES,
        "created_at": TIMES,
        "updated_at": TIMES,
    }
).map(
    lambda task: task if task["status"] == "done" else {**task, "completed_at": None},
)
FILTERS: dict[str, Callable[[Task], bool]] = {
    "": lambda task: True,
    "status=open": lambda task: task.status == "open",
    "priority=high": lambda task: task.priority == "high",
    "tag=x": lambda task: "x" in task.tags,
    "archived=true": lambda task: task.archived is True,
    "due_before=2030-01-03": lambda task: bool(task.due_date and task.due_date < date(2030, 1, 3)),
    "completed_after=2030-01-01T00:00:00Z": lambda task: bool(
        task.completed_at and task.completed_at.day > 1
    ),
    "updated_since=2030-01-02T00:00:00Z": lambda task: task.updated_at.day > 1,
    "created_after=2030-01-01T00:00:00Z": lambda task: task.created_at.day > 1,
    "q=c": lambda task: "c" in task.title,
    "q=flask": lambda task: True,
}


@given(
    tasks=st.lists(TASKS, max_size=12),
    sort=st.sampled_from(SORTS),
    filters=st.sets(st.sampled_from(sorted(FILTERS)), max_size=2),
    limit=st.integers(1, 5),
    sizes=st.sampled_from([(1_000, 10_000, 20_000), (1, 2, 20_000), (1, 2, 0), (1, 6, 0)]),
    changes=st.lists(st.tuples(st.sampled_from(["insert", "delete"]), TASKS), max_size=8),
)
def test_paging_never_skips_or_repeats_a_task(
    app: Flask,
    tasks: list[dict[str, Any]],
    sort: str,
    filters: set[str],
    limit: int,
    sizes: tuple[int, int, int],
    changes: list[tuple[str, dict[str, Any]]],
) -> None:
    choose_queries(*sizes)
    with connection():
        database.execute_sql("TRUNCATE tasks")
        rows = [Task.create(repository="pallets/flask", **task) for task in tasks]
    stays = {row.id: row for row in rows}
    found: list[int] = []
    if {name for name in filters if name.startswith("q=")} == {"q=c", "q=flask"}:
        filters = {"q=c"}  # a query has each of its parameters once
    for page in walk(app.test_client(), "&".join([*filters, f"sort={sort}", f"limit={limit}"])):
        assert len(page) <= limit
        found += [task["id"] for task in page]
        if changes:  # between two pages
            change, task = changes.pop()
            with connection():
                if change == "insert":
                    Task.create(repository="pallets/flask", **task)
                elif stays:
                    Task.delete().where(Task.id == stays.popitem()[0]).execute()
    expected = [row for row in stays.values() if all(FILTERS[name](row) for name in filters)]
    assert len(found) == len(set(found))
    assert [task_id for task_id in found if task_id in stays] == [
        row.id for row in sorted(expected, key=sort_key(sort))
    ]


def test_tasks_are_selected_by_date_in_an_index_alone(app: Flask) -> None:
    since = datetime(1972, 3, 1, tzinfo=timezone.utc)
    values = {"updated_since": since, "due_after": since.date(), "status": ["done"]}
    with connection():
        database.execute_sql(
            "INSERT INTO tasks (title, status, priority, tags, repository, metadata_status,"
            " created_at, updated_at, completed_at, due_date)"
            " SELECT 'x', 'done', 'low', '{}', 'a/b', 'pending', day, day, day, day"
            " FROM (SELECT timestamptz 'epoch' + n * interval '1 hour' AS day"
            " FROM generate_series(1, 20000) n) AS days"
        )
        database.execute_sql("VACUUM (ANALYZE) tasks")
        for sort in page_queries.COVERING:
            part, *_ = page_queries.ranges(30, sort, None, *values)
            for query in (part.in_order, part.sorted):
                sql, parameters = query.bind(**values)
                lines = database.execute_sql(f"EXPLAIN {sql}", parameters).fetchall()
                plan = "\n".join(line for (line,) in lines)
                assert re.search(r"Index Only Scan.* using tasks_\w+_id on tasks", plan), plan
                assert "Seq Scan" not in plan, plan


def test_a_page_is_read_in_order_where_no_estimate_is_known(
    add: Add, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = add()
    monkeypatch.setattr(page_queries, "estimate", lambda *_: page_queries.CITUS_ESTIMATE)
    part, *_ = page_queries.ranges(2, "created_at", None, "updated_since")
    since = datetime(2000, 1, 1, tzinfo=timezone.utc)
    refused: Any = None  # instead of the query that would sort all tasks
    with connection():
        (task,) = replace(part, sorted=refused).read(2, {"updated_since": since})
    assert json.loads(task)["id"] == task_id


def test_a_page_is_read_from_the_cursor_on(app: Flask) -> None:
    plans: list[str] = []

    def explain(event: Any) -> None:
        """Explain a statement in the session that has prepared it."""
        if event.sql.startswith("EXECUTE"):
            with database.connection().cursor() as cursor:
                cursor.execute(f"EXPLAIN {event.sql}", event.params)
                plans.append("\n".join(line for (line,) in cursor.fetchall()))

    with connection():
        database.execute_sql(
            "INSERT INTO tasks (title, status, priority, tags, repository, metadata_status, stars)"
            " SELECT 'x', 'open', 'low', '{}', 'a/b', 'pending', nullif(n %% 50, 0)"
            " FROM generate_series(1, 20000) n"
        )
        database.execute_sql("ANALYZE tasks")
        database.query_hooks.append(explain)
        try:
            for sort in SORTS:
                column = SORT_COLUMNS[sort.lstrip("-")]
                middle = (Task.stars == 25) & (Task.id > Task.select(fn.avg(Task.id)))
                row = Task.select(column.key, Task.id).where(middle).tuples().first()
                cursors = [None, Cursor(sort, *row)]
                cursors += [Cursor(sort, None, row[1])] if column.nullable else []
                for cursor in cursors:
                    read_page({}, sort, 30, cursor, total=False)
        finally:
            database.query_hooks.remove(explain)
    assert len(plans) >= 2 * len(SORTS)
    for plan in plans:
        assert "Index Scan" in plan, plan
        assert not re.search("Sort|Seq Scan", plan), plan
