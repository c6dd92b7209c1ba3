"""Changes and deletions of many tasks: they touch the tasks that the list shows, or none."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

from tracker.database.connection import connection
from tracker.database.models import Task
from tracker.tasks.filters import FILTERS

Stored = dict[int, dict[str, Any]]

TIMES = ["2030-01-01T00:00:00Z", "2030-01-01T00:00:01Z"]
VALUES: dict[str, list[Any]] = {
    "status": ["open", "done", ["open", "done"]],
    "priority": ["low", "high", ["low", "normal"]],
    "tag": ["a", "B", ["a", "b"]],
    "repository": ["git/git", "pallets/flask"],
    "owner": ["git", "PSF"],
    "archived": ["true", "false"],
    "fork": ["true", "false"],
    "language": ["c", ["C", "python"]],
    "license": ["mit", ["MIT", "0BSD"]],
    "topic": ["p", ["p", "q"]],
    "metadata_status": ["pending", ["pending", "unavailable"]],
    "due": ["none"],
    "due_before": ["2030-01-01", "2031-01-01"],
    "due_after": ["2029-12-31", "2029-12-30"],
    "created_after": TIMES,
    "updated_since": TIMES,
    "pushed_before": TIMES,
    "completed_after": TIMES,
    "q": ["needle", "-needle flask"],
}
TASKS = st.fixed_dictionaries(
    {
        "title": st.sampled_from(["hay", "a needle"]),
        "status": st.sampled_from(["open", "in_progress", "done"]),
        "priority": st.sampled_from(["low", "normal", "high"]),
        "tags": st.lists(st.sampled_from("aAbBc"), max_size=2, unique_by=str.lower),
        "repository": st.sampled_from(["git/git", "pallets/flask", "psf/requests"]),
        "archived": st.sampled_from([True, False, None]),
        "fork": st.sampled_from([True, False, None]),
        "language": st.sampled_from(["C", "Python", None]),
        "license": st.sampled_from(["MIT", "0BSD", None]),
        "topics": st.sampled_from([["p"], ["q", "p"], None]),
        "metadata_status": st.sampled_from(["pending", "unavailable"]),
        "due_date": st.sampled_from(["2029-12-31", "2030-01-01", None]),
        "pushed_at": st.sampled_from([*TIMES, None]),
        "completed_at": st.sampled_from([*TIMES, None]),
        "created_at": st.sampled_from(TIMES),
        "updated_at": st.sampled_from(TIMES),
    }
).map(lambda task: task if task["status"] == "done" else {**task, "completed_at": None})
QUERIES = st.lists(st.sampled_from(sorted(VALUES)), min_size=1, max_size=2, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: st.sampled_from(VALUES[name]) for name in names})
)


def test_a_write_is_tried_with_every_filter() -> None:
    assert VALUES.keys() == FILTERS.keys()


@pytest.fixture
def stored(client: FlaskClient) -> Callable[[], Stored]:
    """Return all tasks by id, as the API shows them."""
    return lambda: {task["id"]: task for task in client.get("/tasks?limit=100").get_json()}


@given(
    tasks=st.lists(TASKS, max_size=8), query=QUERIES, method=st.sampled_from(["PATCH", "DELETE"])
)
def test_a_write_touches_exactly_what_the_list_shows(
    client: FlaskClient,
    add: Callable[..., int],
    stored: Callable[[], Stored],
    tasks: list[dict[str, Any]],
    query: dict[str, Any],
    method: str,
) -> None:
    with connection():
        Task.delete().execute()
    for task in tasks:
        add(**task)
    before = stored()
    listed = {task["id"] for task in client.get("/tasks", query_string=query).get_json()}
    body = {"description": "touched"} if method == "PATCH" else None
    response = client.open("/tasks", method=method, query_string=query, json=body)
    assert response.get_json() == {"matched": len(listed), "changed": len(listed)}
    after = stored()
    untouched = {task_id: task for task_id, task in before.items() if task_id not in listed}
    assert {task_id: after.get(task_id) for task_id in untouched} == untouched
    found = {i for i, task in after.items() if task["description"] == "touched"}
    assert found == (listed if method == "PATCH" else set())
    assert after.keys() == (before.keys() if method == "PATCH" else untouched.keys())


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
@pytest.mark.parametrize(
    ("query", "named"),
    [
        ("", "_schema"),
        ("expect=1", "_schema"),
        *((f"{name}=", name) for name in FILTERS),
        ("status=open&q=", "q"),
        ("status=open&status=", "status"),
        ("owners=pallets", "owners"),
        ("status=open&limit=100", "limit"),
        ("status=open&sort=title", "sort"),
        ("status=open&cursor=", "cursor"),
        ("status=open&total=true", "total"),
        ("status=open&expect=-1", "expect"),
    ],
)
def test_a_bad_filter_never_means_all_tasks(
    client: FlaskClient,
    add: Callable[..., int],
    stored: Callable[[], Stored],
    method: str,
    query: str,
    named: str,
) -> None:
    add()
    before = stored()
    body = {"status": "done"} if method == "PATCH" else None
    response = client.open(f"/tasks?{query}", method=method, json=body)
    assert response.status_code == 422
    assert named in response.get_json()["errors"]["query"]
    assert stored() == before


@pytest.mark.parametrize("method", ["PATCH", "DELETE"])
def test_nothing_is_done_where_another_number_matches(
    client: FlaskClient, add: Callable[..., int], stored: Callable[[], Stored], method: str
) -> None:
    add(tags=["a"])
    add(tags=["a"])
    before = stored()
    body = {"status": "done"} if method == "PATCH" else None
    for number in (0, 1, 3):
        response = client.open(f"/tasks?tag=a&expect={number}", method=method, json=body)
        assert response.status_code == 412
        assert stored() == before
    response = client.open("/tasks?tag=a&expect=2", method=method, json=body)
    assert response.get_json() == {"matched": 2, "changed": 2}


def test_values_that_a_task_has_move_no_version(
    client: FlaskClient, add: Callable[..., int], stored: Callable[[], Stored]
) -> None:
    done, still_open = add(status="done", tags=["a"]), add(tags=["A"])
    for body in ({}, {"add_tags": ["a"]}, {"remove_tags": ["b"]}, {"priority": "normal"}):
        response = client.patch("/tasks?tag=a", json=body)
        assert response.get_json() == {"matched": 2, "changed": 0}
    response = client.patch("/tasks?tag=a", json={"status": "done", "add_tags": ["a"]})
    assert response.get_json() == {"matched": 2, "changed": 1}
    assert (stored()[done]["version"], stored()[still_open]["version"]) == (1, 2)


@pytest.mark.parametrize(
    ("tags", "body", "changed"),
    [
        ([], {"add_tags": ["b", "a", "B"]}, ["b", "a"]),
        (["Bug", "a"], {"add_tags": ["bug", "c"]}, ["Bug", "a", "c"]),
        (["c", "Bug", "a"], {"remove_tags": ["bug", "BUG", "x"]}, ["c", "a"]),
        (["bug", "a"], {"remove_tags": ["BUG"], "add_tags": ["Bug"]}, ["a", "Bug"]),
        (["\u00c4", "a"], {"remove_tags": ["\u00e4"], "add_tags": ["\u00d6"]}, ["a", "\u00d6"]),
        (["a"], {"remove_tags": ["a"]}, []),
        (["a"], {"tags": ["b"]}, ["b"]),
    ],
)
def test_tags_are_added_and_removed_without_the_rest(
    client: FlaskClient,
    add: Callable[..., int],
    stored: Callable[[], Stored],
    tags: list[str],
    body: dict[str, Any],
    changed: list[str],
) -> None:
    task_id = add(tags=tags)
    response = client.patch("/tasks?status=open", json=body)
    assert response.get_json() == {"matched": 1, "changed": 1}
    assert stored()[task_id]["tags"] == changed


def test_no_task_is_changed_twice_by_one_request(
    client: FlaskClient, add: Callable[..., int], stored: Callable[[], Stored]
) -> None:
    for status in ("open", "done"):
        add(status=status, tags=["a"])
    body = {"status": "done", "remove_tags": ["b"], "add_tags": ["b", "c"]}
    response = client.patch("/tasks?tag=a", json=body)
    assert response.get_json() == {"matched": 2, "changed": 2}
    assert [(task["version"], task["tags"]) for task in stored().values()] == [
        (2, ["a", "b", "c"])
    ] * 2


def test_too_many_tags_change_no_task(
    client: FlaskClient, add: Callable[..., int], stored: Callable[[], Stored]
) -> None:
    twenty = [str(number) for number in range(20)]
    add()
    add(tags=twenty)
    add(tags=twenty[1:])
    before = stored()
    response = client.patch("/tasks?status=open", json={"add_tags": ["0", "x"]})
    assert response.status_code == 422
    message = "Selected tasks would have more than 20 tags; remove some of theirs."
    assert response.get_json()["errors"] == {"json": {"add_tags": [message]}}
    assert stored() == before
    body = {"remove_tags": ["1"], "add_tags": ["0"]}
    assert client.patch("/tasks?status=open", json=body).get_json()["matched"] == 3


@pytest.mark.parametrize(
    ("body", "named"),
    [
        ({"repository": "git/git"}, {"repository"}),
        ({"status": "done", "issue": None}, {"issue"}),
        ({"tags": ["a"], "add_tags": ["b"]}, {"add_tags"}),
        ({"tags": ["a"], "remove_tags": ["b"]}, {"remove_tags"}),
        ({"add_tags": [str(number) for number in range(21)]}, {"add_tags"}),
        ({"remove_tags": [""]}, {"remove_tags"}),
        ({"title": ""}, {"title"}),
        ({"colour": "red"}, {"colour"}),
    ],
)
def test_a_field_that_many_tasks_cannot_take_is_refused(
    client: FlaskClient, add: Callable[..., int], body: dict[str, Any], named: set[str]
) -> None:
    add()
    response = client.patch("/tasks?status=open", json=body)
    assert response.status_code == 422
    assert response.get_json()["errors"]["json"].keys() == named


@pytest.mark.parametrize(
    ("method", "options"), [("PATCH", {"json": {"title": "x"}}), ("DELETE", {})]
)
def test_if_match_is_refused_with_a_hint_to_expect(
    client: FlaskClient, method: str, options: dict[str, Any]
) -> None:
    path = client.post("/tasks", json={"title": "t", "repository": "git/git"}).location
    task = client.get(path).get_json()
    headers = {"If-Match": '"9"'}
    response = client.open("/tasks?status=open", method=method, headers=headers, **options)
    assert response.status_code == 422
    message = "Is for one task; give the number of tasks as the parameter expect."
    assert response.get_json()["errors"] == {"headers": {"If-Match": [message]}}
    assert client.get(path).get_json() == task
