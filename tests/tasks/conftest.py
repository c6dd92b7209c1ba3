"""Fixtures for lists of tasks."""

from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tracker.database import queries
from tracker.database.connection import connection


@pytest.fixture
def add(app: Flask) -> Callable[..., int]:
    """Store a task with these columns, without GitHub; return its id."""

    def add(**values: Any) -> int:
        with connection():
            return queries.insert_task({"title": "x", "repository": "pallets/flask"} | values).id

    return add


@pytest.fixture
def ids(client: FlaskClient) -> Callable[..., list[int]]:
    """Return the ids of the tasks that a query selects, in its order."""

    def ids(query: str = "") -> list[int]:
        response = client.get(f"/tasks?{query}")
        assert response.status_code == 200, response.json
        return [task["id"] for task in response.get_json()]

    return ids
