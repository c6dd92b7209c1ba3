"""The number of an issue or pull request, and where it comes from."""

from typing import Any

import pytest
from flask.testing import FlaskClient

FLASK = "https://github.com/pallets/flask"


def create(client: FlaskClient, **fields: Any) -> Any:
    response = client.post("/tasks", json={"title": "t", "repository": "pallets/flask", **fields})
    assert response.status_code == 201
    return response.get_json()


@pytest.mark.parametrize(
    ("fields", "issue"),
    [
        ({}, None),
        ({"repository": f"{FLASK}/issues/5000"}, 5000),
        ({"repository": f"{FLASK}/pull/12/files"}, 12),
        ({"repository": "pallets/flask#7"}, 7),
        ({"repository": "pallets/flask#7", "issue": 3}, 3),
        ({"repository": "pallets/flask#7", "issue": None}, None),
        ({"issue": 2**31 - 1}, 2**31 - 1),
    ],
)
def test_the_issue_comes_from_its_field_or_the_url(
    client: FlaskClient, fields: dict[str, Any], issue: int | None
) -> None:
    task = create(client, **fields)
    assert task["issue"] == issue
    assert task["issue_url"] == (issue and f"{FLASK}/issues/{issue}")


@pytest.mark.parametrize("issue", [0, -1, 2**31, "7", 7.5, True, [7]])
def test_an_issue_that_github_cannot_have_is_refused(client: FlaskClient, issue: object) -> None:
    body = {"title": "t", "repository": "pallets/flask", "issue": issue}
    response = client.post("/tasks", json=body)
    assert response.status_code == 422
    assert list(response.get_json()["errors"]["json"]) == ["issue"]


def test_another_repository_drops_the_issue(client: FlaskClient) -> None:
    path = f"/tasks/{create(client, issue=7)['id']}"
    assert client.patch(path, json={"title": "u"}).get_json()["issue"] == 7
    assert client.patch(path, json={"repository": "mitsuhiko/flask"}).get_json()["issue"] == 7
    assert client.patch(path, json={"repository": "psf/requests"}).get_json()["issue"] is None
    task = client.patch(path, json={"repository": f"{FLASK}/pull/9"}).get_json()
    assert (task["repository"], task["issue"]) == ("pallets/flask", 9)


def test_a_pending_task_keeps_its_issue_without_a_url(client: FlaskClient) -> None:
    body = {"title": "t", "repository": "faults/503#4"}
    task = client.post("/tasks?metadata=optional", json=body).get_json()
    assert (task["issue"], task["issue_url"]) == (4, None)


@pytest.mark.parametrize("name", ["pallets/flask", "mitsuhiko/flask"])
def test_a_pending_task_keeps_its_issue_when_it_is_fetched(client: FlaskClient, name: str) -> None:
    record = {"title": "t", "repository": "pallets/flask", "issue": 7}
    assert client.post("/tasks/import", json=record).get_json()["created"] == 1
    (task,) = client.get("/tasks").get_json()
    fetched = client.patch(f"/tasks/{task['id']}", json={"repository": name}).get_json()
    assert (task["metadata_status"], fetched["metadata_status"]) == ("pending", "current")
    assert fetched["issue"] == 7
