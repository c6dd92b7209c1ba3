"""A task's page, and its forms without JavaScript."""

from collections.abc import Callable
from typing import Any

import pytest
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

Get = Callable[..., TestResponse]
Create = Callable[..., dict[str, Any]]


def form(task: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """Return the form of a task as it is sent."""
    fields = {name: task[name] for name in ("title", "status", "priority", "repository")}
    fields |= {name: task[name] or "" for name in ("description", "due_date", "issue")}
    return {**fields, "tags": "\r\n".join(task["tags"]), "version": task["version"], **changes}


def test_an_unchanged_form_changes_nothing(client: FlaskClient, post: Get, create: Create) -> None:
    task = create(description="a\n\nb", tags=["one, two", "three"], due_date="2030-01-31", issue=3)
    description = task["description"].replace("\n", "\r\n")
    assert (
        post(f"/web/tasks/{task['id']}", **form(task, description=description)).status_code == 303
    )
    assert client.get(f"/tasks/{task['id']}").get_json() == task


def test_every_field_can_be_changed_and_emptied(
    client: FlaskClient, post: Get, create: Create
) -> None:
    task = create()
    values = {
        "title": "Other",
        "description": "More",
        "status": "in_progress",
        "priority": "low",
        "tags": ["x", "y z"],
        "due_date": "2031-01-01",
        "repository": "psf/requests",
        "issue": 5,
    }
    path = f"/tasks/{task['id']}"
    post(f"/web{path}", **form(task, **{**values, "tags": "x\r\n\r\n y z \r\n"}))
    task = client.get(path).get_json()
    assert {name: task[name] for name in values} == values
    emptied = dict.fromkeys(("description", "tags", "due_date", "issue"), "")
    assert post(f"/web{path}", **form(task, **emptied)).status_code == 303
    task = client.get(path).get_json()
    assert [task[name] for name in emptied] == [None, [], None, None]


def test_a_wrong_field_is_shown_beside_what_was_typed(
    client: FlaskClient, post: Get, create: Create
) -> None:
    task = create()
    path = f"/tasks/{task['id']}"
    for name, value, message in (
        ("title", " ", "Length must be between 1 and 200."),
        ("issue", "x", "Not a valid integer."),
        ("due_date", "2030-02-30", "This day does not exist."),
        ("tags", "x" * 51, "Length must be between 1 and 50."),
        ("repository", "nonsense", "Must be"),
        ("repository", "pallets/none", "pallets/none"),
        ("status", "later", "Must be one of"),
    ):
        response = post(f"/web{path}", **form(task, description="typed", **{name: value}))
        assert response.status_code == 422
        assert f'id="wrong-{name}">' in response.text
        assert message in response.text
        assert ">\ntyped</textarea>" in response.text
    assert client.get(path).get_json() == task


def test_a_conflict_shows_both_versions(client: FlaskClient, post: Get, create: Create) -> None:
    task = create()
    path = f"/tasks/{task['id']}"
    theirs = client.patch(path, json={"title": "Theirs", "priority": "high"}).get_json()
    response = post(f"/web{path}", **form(task, title="Mine"))
    assert response.status_code == 412
    assert "The task has changed since you read it" in response.text
    assert 'name="title" value="Mine"' in response.text
    assert "Now: <bdi>Theirs</bdi>" in response.text
    assert "Now: <bdi>high</bdi>" in response.text
    assert client.get(path).get_json() == theirs
    assert f'name="version" value="{theirs["version"]}"' in response.text
    assert post(f"/web{path}", **form(theirs, title="Mine")).status_code == 303
    assert client.get(path).get_json()["title"] == "Mine"


def test_a_task_is_refreshed_and_deleted_by_buttons(
    client: FlaskClient, get: Get, post: Get, create: Create
) -> None:
    task = create()
    path = f"/tasks/{task['id']}"
    assert post(f"/web{path}/refresh").location == f"/web{path}"
    refreshed = client.get(path).get_json()
    assert refreshed["metadata_fetched_at"] > task["metadata_fetched_at"]
    client.patch(path, json={"title": "Changed"})
    assert post(f"/web{path}/delete", version="1").status_code == 412
    assert post(f"/web{path}/delete", version="2").location == "/"
    response = get(f"/web{path}")
    assert response.status_code == 404
    assert f"Task {task['id']} does not exist." in response.text


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("/web/nope", "Nothing is served at this path"),
        (f"/web/tasks/{2**63}", "does not exist"),
        ("/web/rows", "This path does not support the method"),
    ],
)
def test_an_error_is_a_page_for_browsers_and_json_for_others(
    client: FlaskClient, get: Get, path: str, message: str
) -> None:
    page, plain = get(path), client.get(path)
    assert page.mimetype == "text/html"
    assert message in page.text
    assert page.status_code == plain.status_code == plain.get_json()["code"]
    assert message in plain.get_json()["message"]
