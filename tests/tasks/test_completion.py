"""`completed_at` follows the status, whichever request sets it."""

from typing import Any

from flask.testing import FlaskClient

from tracker.database.connection import connection
from tracker.database.models import Task

TASK = {"title": "Read the docs", "repository": "pallets/flask"}
DONE = {"status": "done"}


def create(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/tasks", json=TASK | fields)
    assert response.status_code == 201
    return dict(response.get_json())


def change(client: FlaskClient, task: dict[str, Any], **fields: Any) -> dict[str, Any]:
    response = client.patch(f"/tasks/{task['id']}", json=fields)
    assert response.status_code == 200
    return dict(response.get_json())


def read(client: FlaskClient, task: dict[str, Any]) -> dict[str, Any]:
    return dict(client.get(f"/tasks/{task['id']}").get_json())


def test_a_task_that_is_not_done_has_no_time(client: FlaskClient) -> None:
    task = create(client)
    assert task["completed_at"] is None
    assert change(client, task, status="in_progress")["completed_at"] is None
    assert change(client, task, title="Another")["completed_at"] is None


def test_a_task_created_as_done_is_completed_at_its_creation(client: FlaskClient) -> None:
    task = create(client, **DONE)
    assert task["completed_at"] == task["created_at"]


def test_a_patch_and_a_put_to_done_set_the_time_of_the_change(client: FlaskClient) -> None:
    patched = change(client, create(client), **DONE)
    path = f"/tasks/{create(client)['id']}"
    replaced = client.put(path, json=TASK | DONE).get_json()
    for task in (patched, replaced):
        assert task["completed_at"] == task["updated_at"] > task["created_at"]


def test_a_done_task_keeps_its_time_through_other_changes(client: FlaskClient) -> None:
    task = create(client, **DONE)
    path = f"/tasks/{task['id']}"
    changed = [
        change(client, task, title="Another"),
        change(client, task, title="A third", **DONE),
        client.put(path, json=TASK | DONE).get_json(),
        client.post(f"{path}/refresh").get_json(),
    ]
    assert {each["completed_at"] for each in changed} == {task["completed_at"]}
    assert changed[2]["version"] == 4


def test_a_reopened_task_loses_its_time_and_gets_another(client: FlaskClient) -> None:
    task = create(client, **DONE)
    assert change(client, task, status="open")["completed_at"] is None
    again = change(client, task, **DONE)
    assert again["completed_at"] == again["updated_at"] > task["completed_at"]


def test_a_put_without_a_status_reopens(client: FlaskClient) -> None:
    path = f"/tasks/{create(client, **DONE)['id']}"
    replaced = client.put(path, json=TASK).get_json()
    assert (replaced["status"], replaced["completed_at"]) == ("open", None)


def test_a_body_cannot_set_the_time(client: FlaskClient) -> None:
    task = create(client, completed_at="2001-01-01T00:00:00Z")
    assert task["completed_at"] is None
    assert change(client, task, completed_at="2001-01-01T00:00:00Z") == task


def test_a_change_of_many_tasks_sets_and_clears_the_times(client: FlaskClient) -> None:
    done, *others = create(client, **DONE), create(client), create(client, status="in_progress")
    query = "/tasks?repository=pallets/flask"
    body = {**DONE, "title": "Another"}
    assert client.patch(query, json=body).get_json() == {"matched": 3, "changed": 3}
    assert read(client, done)["completed_at"] == done["completed_at"]
    for task in (read(client, each) for each in others):
        assert task["completed_at"] == task["updated_at"] > done["completed_at"]
    before = client.get(query).get_json()
    assert client.patch(query, json=DONE).get_json() == {"matched": 3, "changed": 0}
    assert client.patch(query, json={"priority": "high"}).get_json()["changed"] == 3
    times = [task["completed_at"] for task in before]
    assert [task["completed_at"] for task in client.get(query).get_json()] == times
    assert client.patch(query, json={"status": "open"}).get_json()["changed"] == 3
    assert {task["completed_at"] for task in client.get(query).get_json()} == {None}


def test_a_done_task_without_a_time_gets_none(client: FlaskClient) -> None:
    task = create(client, **DONE)
    with connection():  # as before the service kept the time
        Task.update(completed_at=None).execute()
    assert change(client, task, title="Another", **DONE)["completed_at"] is None
    assert client.patch("/tasks?status=done", json={**DONE, "title": "x"}).status_code == 200
    assert read(client, task)["completed_at"] is None


def test_a_repeated_creation_returns_the_first_time(client: FlaskClient) -> None:
    headers = {"Idempotency-Key": "once"}
    first, again = (client.post("/tasks", json=TASK | DONE, headers=headers) for _ in range(2))
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.get_json() == first.get_json()
    assert first.get_json()["completed_at"] == first.get_json()["created_at"]
