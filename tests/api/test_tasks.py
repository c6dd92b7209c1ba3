"""Tasks over HTTP: what a client sends, and what it receives."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tracker.demo.github import GitHub

TASK = {"title": "Read the docs", "repository": "pallets/flask"}


def create(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/tasks", json=TASK | fields)
    assert response.status_code == 201, response.json
    return dict(response.get_json())


def test_a_created_task_has_githubs_metadata(client: FlaskClient) -> None:
    response = client.post("/tasks", json=TASK)
    assert response.status_code == 201
    task = response.get_json()
    assert response.headers["Location"] == f"/tasks/{task['id']}"
    for name in ("metadata_fetched_at", "created_at", "updated_at"):
        assert task.pop(name).endswith("Z")
    assert task == task | {
        "title": "Read the docs",
        "description": None,
        "status": "open",
        "priority": "normal",
        "tags": [],
        "due_date": None,
        "repository": "pallets/flask",
        "repository_url": "https://github.com/pallets/flask",
        "repository_description": "The Python micro framework for building web applications.",
        "stars": 70000,
        "language": "Python",
        "archived": False,
        "pushed_at": "2025-09-14T17:08:05.000000Z",
        "metadata_status": "current",
        "version": 1,
    }


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
@pytest.mark.parametrize("task_id", ["1", "9223372036854775807"])
def test_a_task_that_does_not_exist_is_404(
    client: FlaskClient, github: GitHub, method: str, task_id: str
) -> None:
    response = client.open(f"/tasks/{task_id}", method=method, json=TASK)
    assert response.status_code == 404
    assert response.get_json() == {
        "code": 404,
        "status": "Not Found",
        "reason": "not_found",
        "message": f"Task {task_id} does not exist.",
    }
    assert github.calls == []


@pytest.mark.parametrize("method", ["get", "put", "patch", "delete"])
@pytest.mark.parametrize(
    "path", ["9223372036854775808", "0", "-1", "1.5", "abc", "%00", "9" * 5_000, "٣", "1//x", "007"]
)
def test_a_path_without_a_possible_id_is_404(client: FlaskClient, method: str, path: str) -> None:
    assert client.open(f"/tasks/{path}", method=method, json=TASK).status_code == 404


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/tasks", "PUT", {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST"}),
        ("/tasks/1", "POST", {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"}),
        ("/tasks/1/refresh", "GET", {"OPTIONS", "POST"}),
        ("/health/live", "PUT", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_wrong_method_is_405_with_the_allowed_ones(
    client: FlaskClient, path: str, method: str, allowed: set[str]
) -> None:
    response = client.open(path, method=method)
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == allowed
    assert response.get_json()["code"] == 405


def test_put_replaces_all_but_identity_and_metadata(client: FlaskClient, github: GitHub) -> None:
    before = create(client, description="old", status="done", tags=["old"], due_date="2030-01-31")
    response = client.put(f"/tasks/{before['id']}", json=TASK | {"title": "New"})
    assert response.status_code == 200
    after = response.get_json()
    assert after["updated_at"] > before["updated_at"]
    assert after == before | {
        "title": "New",
        "description": None,
        "status": "open",
        "tags": [],
        "due_date": None,
        "completed_at": None,
        "version": 2,
        "updated_at": after["updated_at"],
    }
    assert len(github.calls) == 1


def test_put_of_the_same_values_changes_nothing(client: FlaskClient) -> None:
    before = create(client, tags=["a"], due_date="2030-01-31")
    again = TASK | {"tags": ["a"], "due_date": "2030-01-31", "repository": "Pallets/FLASK"}
    assert client.put(f"/tasks/{before['id']}", json=again).get_json() == before


def test_put_of_another_repository_fetches_its_metadata(client: FlaskClient) -> None:
    before = create(client)
    after = client.put(f"/tasks/{before['id']}", json=TASK | {"repository": "git/git"}).get_json()
    assert (after["repository"], after["stars"], after["language"]) == ("git/git", 56000, "C")
    assert after["version"] == 2


def test_put_of_an_unknown_repository_changes_nothing(client: FlaskClient) -> None:
    before = create(client)
    response = client.put(f"/tasks/{before['id']}", json=TASK | {"repository": "no/such"})
    assert response.status_code == 422
    assert client.get(f"/tasks/{before['id']}").get_json() == before


def test_put_needs_the_whole_task(client: FlaskClient) -> None:
    task = create(client)
    assert client.put(f"/tasks/{task['id']}", json={"title": "New"}).status_code == 422


def test_a_deleted_task_is_gone_and_its_id_is_not_reused(client: FlaskClient) -> None:
    path = f"/tasks/{create(client)['id']}"
    other = create(client, title="Stays")
    response = client.delete(path)
    assert (response.status_code, response.data) == (204, b"")
    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 404
    assert client.get(f"/tasks/{other['id']}").get_json() == other
    client.delete(f"/tasks/{other['id']}")
    assert create(client)["id"] > other["id"]


def test_a_creation_renames_the_repositorys_other_tasks(
    client: FlaskClient, github: GitHub
) -> None:
    old, other = create(client, repository="git/git"), create(client)
    github.rename("git/git", "git-scm/git")
    new = create(client, repository="git-scm/git")
    followed = client.get(f"/tasks/{old['id']}").get_json()
    assert new["repository"] == followed["repository"] == "git-scm/git"
    assert followed["repository_url"] == "https://github.com/git-scm/git"
    assert followed["version"] == 2
    assert client.get(f"/tasks/{other['id']}").get_json() == other


def test_put_of_the_repositorys_new_name_is_one_change(client: FlaskClient, github: GitHub) -> None:
    task = create(client, repository="git/git")
    github.rename("git/git", "git-scm/git")
    after = client.put(f"/tasks/{task['id']}", json=TASK | {"repository": "git-scm/git"}).get_json()
    assert (after["repository"], after["version"]) == ("git-scm/git", 2)
