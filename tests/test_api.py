"""The tasks, over HTTP: what a user sends and gets."""

from typing import Any

import pytest
from flask.testing import FlaskClient

from tracker.demo.github import GitHub

TASK = {"title": "Read the docs", "repository": "pallets/flask"}


def create(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    response = client.post("/tasks", json=TASK | fields)
    assert response.status_code == 201, response.json
    assert isinstance(response.json, dict)
    return response.json


def test_a_created_task_is_answered_with_githubs_metadata(client: FlaskClient) -> None:
    response = client.post("/tasks", json=TASK)
    assert response.status_code == 201
    task = response.get_json()
    assert response.headers["Location"] == f"/tasks/{task['id']}"
    for name in ("metadata_fetched_at", "created_at", "updated_at"):
        assert task.pop(name).endswith("Z")
    assert task == {
        "id": task["id"],
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
