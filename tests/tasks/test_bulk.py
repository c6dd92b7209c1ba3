"""Changes and deletions of many tasks: they touch the tasks that the list shows, or none."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tracker.database.connection import connection
from tracker.database.errors import DEADLOCK, PROBLEMS, Problem
from tracker.database.models import Task

Stored = dict[int, dict[str, Any]]

FILTERS = {
    "status": ["open", "in_progress", "done"],
    "priority": ["low", "high"],
    "tag": ["a", "B"],
    "repository": ["git/git", "pallets/flask"],
    "archived": ["true", "false"],
    "metadata_status": ["pending", "unavailable"],
    "due_before": ["2030-01-01", "2031-01-01"],
    "q": ["needle", "-needle flask"],
}
TASKS = st.fixed_dictionaries(
    {
        "title": st.sampled_from(["hay", "a needle"]),
        "status": st.sampled_from(FILTERS["status"]),
        "priority": st.sampled_from(["low", "normal", "high"]),
        "tags": st.lists(st.sampled_from("aAbBc"), max_size=2, unique_by=str.lower),
        "repository": st.sampled_from(["git/git", "pallets/flask", "psf/requests"]),
        "archived": st.sampled_from([True, False, None]),
        "metadata_status": st.sampled_from(["pending", "unavailable"]),
        "due_date": st.sampled_from(["2029-12-31", "2030-01-01", None]),
    }
)
QUERIES = st.lists(st.sampled_from(sorted(FILTERS)), min_size=1, max_size=3, unique=True).flatmap(
    lambda names: st.fixed_dictionaries({name: st.sampled_from(FILTERS[name]) for name in names})
)


@pytest.fixture
def stored(client: FlaskClient) -> Callable[[], Stored]:
    """Return all tasks by id, as the API shows them."""
    return lambda: {task["id"]: task for task in client.get("/tasks?limit=100").get_json()}


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    tasks=st.lists(TASKS, max_size=8), query=QUERIES, method=st.sampled_from(["PATCH", "DELETE"])
)
def test_a_write_touches_exactly_what_the_list_shows(
    client: FlaskClient,
    add: Callable[..., int],
    stored: Callable[[], Stored],
    tasks: list[dict[str, Any]],
    query: dict[str, str],
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
        ("q=", "q"),
        ("status=open&q=", "q"),
        ("tag=", "tag"),
        ("status=", "status"),
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
    message = "Number of tasks that would have more than 20 tags: 2."
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
