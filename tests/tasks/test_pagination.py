"""Lists of tasks: filters, orders, pages and search."""

import json
import urllib.parse
from collections.abc import Iterator
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker.api.schemas import TaskSchema
from tracker.database.connection import borrowed, database
from tracker.database.models import BIGINT_MAX, Priority, Status, Task
from tracker.tasks.pagination import COLUMNS, SORTS, Cursor, _parts

# The examples share one application, and leave nothing that another would mind.
SUPPRESSED = [HealthCheck.function_scoped_fixture]
METADATA = {
    "repository_id": 596892,
    "repository_url": "https://github.com/pallets/flask",
    "stars": 70000,
    "archived": False,
    "metadata_status": "current",
    "metadata_fetched_at": datetime(2030, 1, 1, tzinfo=timezone.utc),
}


def add(**values: Any) -> int:
    """Store a task as it is, without GitHub, and give its id."""
    with borrowed():
        return Task.insert_returning({"title": "x", "repository": "pallets/flask"} | values).id


def ids(client: FlaskClient, query: str = "") -> list[int]:
    response = client.get(f"/tasks?{query}")
    assert response.status_code == 200, response.json
    return [task["id"] for task in response.get_json()]


def walk(client: FlaskClient, query: str) -> Iterator[list[dict[str, Any]]]:
    """Follow the Link headers from the first page on."""
    url: str | None = f"/tasks?{query}"
    while url:
        response = client.get(url)
        assert response.status_code == 200, response.json
        yield response.get_json()
        link = response.headers.get("Link")
        url = link[1 : link.index(">")] if link else None


def test_no_tasks_are_an_empty_array(client: FlaskClient) -> None:
    response = client.get("/tasks?total=true")
    assert response.get_json() == []
    assert response.headers["X-Total-Count"] == "0"
    assert "Link" not in response.headers


def test_a_list_has_whole_tasks_newest_first(client: FlaskClient) -> None:
    first, second = add(), add()
    assert ids(client) == [second, first]
    assert client.get("/tasks").get_json()[1] == client.get(f"/tasks/{first}").get_json()


@pytest.mark.parametrize(
    ("query", "values"),
    [
        ("status=done", {"status": "done"}),
        ("priority=high", {"priority": "high"}),
        ("tag=a", {"tags": ["b", "a"]}),
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
def test_a_filter_lets_through_what_it_names(
    client: FlaskClient, query: str, values: dict[str, Any]
) -> None:
    add(), add(status="in_progress", priority="low", tags=["A", "other"], due_date="2030-01-02")
    wanted = add(**values)
    assert ids(client, query) == [wanted]
    response = client.get(f"/tasks?{query}&total=true")
    assert response.headers["X-Total-Count"] == "1"


@pytest.mark.parametrize(
    "query",
    ["tag=a&tag=b", "archived=false", "status=done&priority=low", "due_before=2030-01-01"],
)
def test_a_filter_holds_back_the_rest(client: FlaskClient, query: str) -> None:
    add(tags=["a"], due_date="2030-01-01", status="done", priority="high")
    assert ids(client, query) == []


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("stat=open", "stat"),
        ("status=closed", "status"),
        ("status=open&status=done", "status"),
        ("status=", "status"),
        ("limit=0", "limit"),
        ("limit=101", "limit"),
        ("limit=5.5", "limit"),
        ("limit=1_0", "limit"),
        ("limit=-1", "limit"),
        ("limit=" + "9" * 5_000, "limit"),
        ("sort=id", "sort"),
        ("sort=--title", "sort"),
        ("archived=yes", "archived"),
        ("archived=1", "archived"),
        ("total=TRUE", "total"),
        ("due_before=soon", "due_before"),
        ("repository=flask", "repository"),
        ("tag=", "tag"),
        ("tag=" + "x" * 51, "tag"),
        ("tag=%00", "tag"),
        ("&".join(f"tag={number}" for number in range(21)), "tag"),
        ("q=", "q"),
        ("q=%26%20%7C%20!", "q"),
        ("q=🎉", "q"),
        ("q=%00a", "q"),
        ("q=" + "x" * 201, "q"),
        ("q=" + "x" * 10_000, "q"),
        ("cursor=", "cursor"),
        ("cursor=abc", "cursor"),
        ("cursor=%00", "cursor"),
        ("cursor=🎉", "cursor"),
        ("cursor=" + str(Cursor("title", "x", 1)), "cursor"),
        ("sort=title&cursor=" + str(Cursor("title", 5, 1)), "cursor"),
        ("sort=title&cursor=" + str(Cursor("title", None, 1)), "cursor"),
        ("sort=title&cursor=" + str(Cursor("title", "nul\0", 1)), "cursor"),
        ("sort=stars&cursor=" + str(Cursor("stars", 2**63, 1)), "cursor"),
        ("sort=stars&cursor=" + str(Cursor("stars", True, 1)), "cursor"),
        ("sort=stars&cursor=" + str(Cursor("stars", 5, 2**63)), "cursor"),
        ("sort=stars&cursor=" + str(Cursor("stars", 5, "1; DROP TABLE tasks")), "cursor"),  # type: ignore[arg-type]
        ("sort=due_date&cursor=" + str(Cursor("due_date", "tomorrow", 1)), "cursor"),
        ("sort=priority&cursor=" + str(Cursor("priority", 0, 1)), "cursor"),
        ("sort=priority&cursor=" + str(Cursor("priority", 4, 1)), "cursor"),
        ("sort=priority&cursor=" + str(Cursor("priority", 2**31, 1)), "cursor"),
        ("cursor=" + str(Cursor("-created_at", "0001-01-01T00:00:00+23:59", 1)), "cursor"),
        ("cursor=" + str(Cursor("-created_at", "2030-01-01T00:00:00", 1)), "cursor"),
    ],
)
def test_an_unknown_or_bad_parameter_is_422(client: FlaskClient, query: str, field: str) -> None:
    response = client.get(f"/tasks?{query}")
    assert response.status_code == 422
    assert list(response.get_json()["errors"]["query"]) == [field]


def test_a_query_that_came_before_is_taken_the_same_way(client: FlaskClient) -> None:
    add(title="open", tags=["a", "b"])
    add(title="done", status="done", tags=["a"])
    query = "/tasks?status=open&tag=a&tag=b&sort=title&limit=1"
    found = [client.get(query).get_json() for _ in range(3)]
    assert [[task["title"] for task in page] for page in found] == [["open"]] * 3
    refused = [client.get("/tasks?status=x&tag=a").get_json()["errors"] for _ in range(2)]
    assert refused[0] == refused[1]
    assert "status" in refused[0]["query"]
    query = "?metadata=optional"  # of what is created, and of no list
    body = {"title": "t", "repository": "pallets/flask"}
    statuses = [client.post(f"/tasks{query}", json=body).status_code for _ in range(2)]
    assert [*statuses, client.get(f"/tasks{query}").status_code] == [201, 201, 422]


def test_each_order_puts_nulls_last_and_ties_by_id(client: FlaskClient) -> None:
    moment = datetime(2030, 1, 1, tzinfo=timezone.utc)
    first = add(title="b", priority="high", stars=5, due_date="2030-01-02", pushed_at=moment)
    second = add(title="a", priority="low")
    third = add(title="b", priority="normal", stars=7, due_date="2030-01-02")
    assert ids(client, "sort=title") == [second, first, third]
    assert ids(client, "sort=-title") == [third, first, second]
    assert ids(client, "sort=priority") == [second, third, first]
    assert ids(client, "sort=-priority") == [first, third, second]
    assert ids(client, "sort=stars") == [first, third, second]
    assert ids(client, "sort=-stars") == [third, first, second]
    assert ids(client, "sort=due_date") == [first, third, second]
    assert ids(client, "sort=-due_date") == [third, first, second]
    assert ids(client, "sort=pushed_at") == [first, second, third]
    assert ids(client, "sort=-pushed_at") == [first, third, second]
    assert ids(client, "sort=created_at") == [first, second, third]
    client.patch(f"/tasks/{first}", json={"title": "c"})
    assert ids(client, "sort=-updated_at") == [first, third, second]


def test_a_page_links_to_the_next_with_the_same_query(client: FlaskClient) -> None:
    tasks = [add(tags=["a b", "&"], title="x🎉") for _ in range(3)]
    response = client.get("/tasks?tag=a+b&tag=%26&limit=2&sort=title&total=true")
    link = response.headers["Link"]
    assert link.endswith('>; rel="next"')
    url = urllib.parse.urlsplit(link[1 : link.index(">")])
    query = urllib.parse.parse_qs(url.query)
    assert (url.scheme, url.netloc, url.path) == ("http", "localhost", "/tasks")
    assert {name: query[name] for name in query if name != "cursor"} == {
        "tag": ["a b", "&"],
        "limit": ["2"],
        "sort": ["title"],
        "total": ["true"],
    }
    following = client.get(link[1 : link.index(">")])
    assert [task["id"] for task in following.get_json()] == tasks[2:]
    assert following.headers["X-Total-Count"] == "3"
    assert "Link" not in following.headers


def test_a_page_that_ends_with_the_list_links_no_further(client: FlaskClient) -> None:
    add(), add()
    assert "Link" in client.get("/tasks?limit=1").headers
    assert "Link" not in client.get("/tasks?limit=2").headers


def test_a_page_has_30_tasks_or_up_to_100(client: FlaskClient) -> None:
    for _ in range(101):
        add()
    assert len(ids(client)) == 30
    assert len(ids(client, "limit=100")) == 100
    assert len(ids(client, "limit=1")) == 1


def test_the_longest_title_makes_a_cursor_that_fits_a_request_line(client: FlaskClient) -> None:
    add(title="🎉" * 200), add(title="🎉" * 200)
    (page, rest) = walk(client, "sort=title&limit=1")
    assert page[0]["id"] < rest[0]["id"]
    link = client.get("/tasks?sort=title&limit=1").headers["Link"]
    assert len(link) < 2_000


@pytest.mark.parametrize(
    ("words", "text"),
    [
        ("flask", {}),
        ("PALLETS", {}),
        ("fla", {}),
        ("pall fla", {}),
        ("flask pallets", {}),
        ("pallets/flask", {}),
        ("signal", {"title": "Read how it signals errors"}),
        ("1.2-rc3", {"title": "Try v1 and 1.2-rc3"}),
        ("rc3", {"title": "Try 1.2-rc3"}),
        ("example", {"description": "see https://docs.example.com/a_b?c=d"}),
        ("c d", {"description": "see https://docs.example.com/a_b?c=d"}),
        ("micro", {"repository_description": "The Python micro framework"}),
        ("'micro' & !framework:*", {"repository_description": "The Python micro framework"}),
        ("naïve", {"title": "Naïve"}),
        ("日本", {"title": "日本語"}),
        ("the", {"title": "The"}),
        ("a🎉b", {"title": "a🎉b"}),
    ],
)
def test_a_search_finds_each_word_by_its_beginning(
    client: FlaskClient, words: str, text: dict[str, Any]
) -> None:
    task = add(**text)
    assert ids(client, urllib.parse.urlencode({"q": words})) == [task]


@pytest.mark.parametrize("words", ["lask", "flask django", "flasks", "xyz"])
def test_a_search_finds_nothing_else(client: FlaskClient, words: str) -> None:
    add()
    assert ids(client, urllib.parse.urlencode({"q": words})) == []


@settings(max_examples=150, deadline=None, suppress_health_check=SUPPRESSED)
@given(st.text(max_size=250) | st.text("'\"\\:*&|!<>() ab", max_size=30))
def test_any_text_is_a_search_or_a_422(client: FlaskClient, text: str) -> None:
    query = urllib.parse.urlencode({"q": text}, errors="replace")
    assert client.get(f"/tasks?{query}").status_code in (200, 422)


@given(st.text(max_size=200) | st.binary(max_size=200).map(lambda data: data.decode("latin1")))
@settings(max_examples=150, deadline=None, suppress_health_check=SUPPRESSED)
def test_any_cursor_is_a_page_or_a_422(client: FlaskClient, text: str) -> None:
    query = urllib.parse.urlencode({"cursor": text}, errors="replace")
    assert client.get(f"/tasks?{query}").status_code in (200, 422)


@pytest.mark.parametrize(
    ("sort", "values"),
    [
        ("created_at", ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]),
        ("created_at", ["2030-01-01T00:00:00+23:59", "2030-01-01T00:00:00-23:59"]),
        ("pushed_at", ["2030-01-01T00:00:00Z", None]),
        ("due_date", ["0001-01-01", "9999-12-31", None]),
        ("priority", [1, 3]),
        ("stars", [0, BIGINT_MAX, None]),
        ("title", ["", "x" * 200, "a'b\\c%s"]),
    ],
)
@pytest.mark.parametrize("sign", ["", "-"])
@pytest.mark.parametrize("filters", ["", "&status=open"])
def test_a_cursor_with_any_value_of_its_column_is_a_page(
    client: FlaskClient, sort: str, values: list[Any], sign: str, filters: str
) -> None:
    for value in values:
        for task_id in (0, BIGINT_MAX):
            cursor = Cursor(sign + sort, value, task_id)
            response = client.get(f"/tasks?sort={sign}{sort}&cursor={cursor}{filters}")
            assert response.status_code == 200, (value, response.json)


def _sort_key(sort: str) -> Any:
    """Sort as the lists do, in plain Python: nulls last both ways, ties by id."""
    name, sign = sort.lstrip("-"), -1 if sort.startswith("-") else 1
    ranks = {priority.value: rank for rank, priority in enumerate(Priority)}

    def number(value: Any) -> Any:
        if name == "priority":
            value = ranks[value]
        if isinstance(value, date) and not isinstance(value, datetime):
            value = value.toordinal()
        if isinstance(value, datetime):
            value = (value - datetime(2000, 1, 1, tzinfo=timezone.utc)) // timedelta(microseconds=1)
        if isinstance(value, str):
            return [sign * ord(letter) for letter in value] + ([0] if sign > 0 else [1])
        return sign * value

    def key(task: Task) -> Any:
        value = getattr(task, name)
        return (value is None, 0 if value is None else number(value), sign * task.id)

    return key


_moments = st.sampled_from([datetime(2030, 1, day, tzinfo=timezone.utc) for day in (1, 2, 3)])
_tasks = st.fixed_dictionaries(
    {
        "title": st.sampled_from(["a", "b", "B", "c d", "é", "🎉"]),
        "status": st.sampled_from([status.value for status in Status]),
        "priority": st.sampled_from([priority.value for priority in Priority]),
        "tags": st.lists(st.sampled_from(["x", "y", "z"]), unique=True),
        "due_date": st.none() | _moments.map(lambda moment: moment.date()),
        "stars": st.none() | st.integers(0, 3),
        "archived": st.none() | st.booleans(),
        "pushed_at": st.none() | _moments,
        "created_at": _moments,
        "updated_at": _moments,
    }
)
_filters: dict[str, Any] = {
    "status": (st.sampled_from(Status), lambda task, value: task.status == value),
    "priority": (st.sampled_from(Priority), lambda task, value: task.priority == value),
    "tag": (st.sampled_from(["x", "y", "z"]), lambda task, value: value in task.tags),
    "archived": (
        st.sampled_from(["true", "false"]),
        lambda task, value: task.archived is (value == "true"),
    ),
    "due_before": (
        st.sampled_from(["2030-01-01", "2030-01-03"]),
        lambda task, value: bool(task.due_date and task.due_date < date.fromisoformat(value)),
    ),
    "q": (st.sampled_from(["a", "c", "d", "flask"]), None),
}


@st.composite
def _queries(draw: Any) -> dict[str, Any]:
    names = draw(st.sets(st.sampled_from(sorted(_filters)), max_size=2))
    return {name: draw(_filters[name][0]) for name in sorted(names)}


def _matches(task: Task, query: dict[str, Any]) -> bool:
    for name, value in query.items():
        matches = _filters[name][1]
        if matches and not matches(task, getattr(value, "value", value)):
            return False
    words = [*task.title.lower().split(), "pallets", "flask"]
    return "q" not in query or any(word.startswith(query["q"]) for word in words)


@settings(max_examples=60, deadline=None, suppress_health_check=SUPPRESSED)
@given(
    tasks=st.lists(_tasks, max_size=12),
    sort=st.sampled_from(SORTS),
    query=_queries(),
    limit=st.integers(1, 5),
    changes=st.lists(st.tuples(st.sampled_from(["insert", "delete"]), _tasks), max_size=8),
)
def test_a_walk_meets_every_task_that_stays_once_and_in_order(
    app: Flask,
    tasks: list[dict[str, Any]],
    sort: str,
    query: dict[str, Any],
    limit: int,
    changes: list[tuple[str, dict[str, Any]]],
) -> None:
    client = app.test_client()
    with borrowed():
        database.execute_sql("TRUNCATE tasks")
        rows = [Task.create(repository="pallets/flask", **task) for task in tasks]
    stays = {row.id: row for row in rows}
    values = {name: getattr(value, "value", value) for name, value in query.items()}
    met: list[int] = []
    for page in walk(client, urllib.parse.urlencode({**values, "sort": sort, "limit": limit})):
        assert len(page) <= limit
        met += [task["id"] for task in page]
        if changes:  # between two pages
            change, task = changes.pop()
            with borrowed():
                if change == "insert":
                    Task.create(repository="pallets/flask", **task)
                elif stays:
                    Task.delete().where(Task.id == stays.popitem()[0]).execute()
    expected = sorted((row for row in stays.values() if _matches(row, query)), key=_sort_key(sort))
    assert len(met) == len(set(met))
    assert [task for task in met if task in stays] == [row.id for row in expected]


def test_pages_start_right_at_the_cursor_however_far_into_the_list(app: Flask) -> None:
    with borrowed():
        database.execute_sql(
            "INSERT INTO tasks (title, status, priority, tags, repository, metadata_status, stars)"
            " SELECT 'x', 'open', 'low', '{}', 'a/b', 'pending', nullif(n %% 50, 0)"
            " FROM generate_series(1, 20000) n"
        )
        database.execute_sql("ANALYZE tasks")
        for sort in SORTS:
            place = Task.select(COLUMNS[sort.lstrip("-")].key, Task.id).where(Task.stars == 25)
            value, task_id = place.tuples().first()
            places = (True, False, None)
            for part in [part for at in places for part in _parts.__wrapped__(31, sort, at)]:
                part._sql = f"EXPLAIN {part._sql}"
                plan = part.run(value=value, id=task_id).fetchall()
                text = "\n".join(line for (line,) in plan)
                assert "Index Scan" in text, (sort, text)
                assert "Sort" not in text, (sort, text)
                assert "Seq Scan" not in text, (sort, text)


_TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
_MOMENTS = st.datetimes(timezones=st.just(timezone.utc))


@settings(max_examples=150, deadline=None, suppress_health_check=SUPPRESSED)
@given(
    values=st.fixed_dictionaries(
        {
            "description": st.none() | _TEXT,
            "tags": st.lists(
                st.text('aé🎉\\"{},\u2028\x7f\x01', min_size=1, max_size=5), max_size=3
            ),
            "due_date": st.none() | st.dates(),
            "repository_description": st.none() | _TEXT,
            "repository_url": st.sampled_from([None, "https://github.com/a/b"]),
            "language": st.none() | _TEXT,
            "stars": st.none() | st.integers(0, BIGINT_MAX),
            "archived": st.none() | st.booleans(),
            "pushed_at": st.none() | _MOMENTS,
            "metadata_fetched_at": st.none() | _MOMENTS,
            "version": st.integers(1, BIGINT_MAX),
        }
    )
)
def test_a_list_is_what_the_schema_makes_of_its_tasks(app: Flask, values: dict[str, Any]) -> None:
    task_id = add(**values)
    with borrowed():
        task = Task.find(task_id)
    found = json.loads(app.test_client().get("/tasks?limit=1").data)
    assert list(found[0].items()) == list(TaskSchema().dump(task).items())
