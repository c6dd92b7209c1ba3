"""Every failure has one shape, the right status, and tells nothing of our insides."""

import dataclasses
import logging
import threading
from collections.abc import Iterator

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tracker import create_app
from tracker.config import Settings
from tracker.database.connection import borrowed, database
from tracker.database.models import Task
from tracker.demo.github import FAULTS, GitHub

TASK = {"title": "Read the docs", "repository": "pallets/flask"}

FAILURES = [
    ("401", 502, "GitHub rejected our token; check GITHUB_TOKEN."),
    ("500", 502, "GitHub is failing: it answered 500."),
    ("not-json", 502, "GitHub gave an unusable answer."),
    ("no-stars", 502, "GitHub gave an unusable answer."),
    ("closed", 502, "GitHub can't be reached."),
    ("redirect-elsewhere", 502, "GitHub redirects to another host, which is not followed."),
    ("403-limit", 503, "GitHub's rate limit is used up; a GITHUB_TOKEN raises it."),
    ("429-retry-after", 503, "GitHub's rate limit is used up; a GITHUB_TOKEN raises it."),
    ("silent", 504, "GitHub did not answer within 0.5 seconds."),
]
REFUSALS = [
    ("403", "GitHub forbids access to pallets/flask."),
    ("404", "pallets/flask is not on GitHub, or is private and not visible to our token."),
    ("451", "pallets/flask is blocked on GitHub for legal reasons."),
]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, github_timeout=0.5)


def stored() -> int:
    with borrowed():
        return Task.select().count()


@pytest.mark.parametrize(("fault", "status", "message"), FAILURES)
def test_a_failing_github_stores_nothing_and_says_what_failed(
    client: FlaskClient, github: GitHub, fault: str, status: int, message: str
) -> None:
    github.fault = FAULTS[fault]
    response = client.post("/tasks", json=TASK)
    assert response.status_code == status
    assert response.json is not None
    assert response.json["code"] == status
    assert response.json["message"] == message
    assert stored() == 0


@pytest.mark.parametrize(("fault", "message"), REFUSALS)
def test_a_repository_that_github_refuses_is_named_as_the_invalid_field(
    client: FlaskClient, github: GitHub, fault: str, message: str
) -> None:
    github.fault = FAULTS[fault]
    response = client.post("/tasks", json=TASK)
    assert response.status_code == 422
    assert response.json is not None
    assert response.json["errors"] == {"json": {"repository": [message]}}
    assert stored() == 0


def test_a_rate_limit_says_when_to_come_back(client: FlaskClient, github: GitHub) -> None:
    github.fault = FAULTS["429-retry-after"]
    assert client.post("/tasks", json=TASK).headers["Retry-After"] == "30"


def test_a_failed_replacement_changes_nothing(client: FlaskClient, github: GitHub) -> None:
    task = client.post("/tasks", json=TASK).get_json()
    github.fault = FAULTS["500"]
    path = f"/tasks/{task['id']}"
    assert client.put(path, json=TASK | {"repository": "git/git"}).status_code == 502
    assert client.get(path).json == task


def test_reads_and_edits_need_no_github(client: FlaskClient, github: GitHub) -> None:
    path = f"/tasks/{client.post('/tasks', json=TASK).get_json()['id']}"
    github.fault = FAULTS["silent"]
    assert client.get(path).status_code == 200
    assert client.put(path, json=TASK | {"title": "New"}).status_code == 200
    assert client.delete(path).status_code == 204


@pytest.fixture
def unreachable(settings: Settings) -> Iterator[FlaskClient]:
    """A client of an application whose database is not there."""
    nowhere = "postgresql://someone:hunter2@127.0.0.1:1/nowhere"
    yield create_app(dataclasses.replace(settings, database_url=nowhere)).test_client()
    database.close_all()


def test_an_unreachable_database_is_503(
    unreachable: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    for response in (
        unreachable.get("/tasks/1"),
        unreachable.post("/tasks", json=TASK),
        unreachable.put("/tasks/1", json=TASK),
        unreachable.delete("/tasks/1"),
        unreachable.get("/health/ready"),
    ):
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "2"
        assert response.json == {
            "code": 503,
            "status": "Service Unavailable",
            "message": "The database can't be reached; try again.",
        }
    assert "Connection refused" in caplog.text
    assert "hunter2" not in caplog.text
    assert unreachable.get("/health/live").status_code == 200


def test_a_missing_schema_is_503_and_says_what_to_do(
    settings: Settings, empty_database_url: str
) -> None:
    app = create_app(dataclasses.replace(settings, database_url=empty_database_url))
    for path in ("/tasks/1", "/health/ready"):
        response = app.test_client().get(path)
        assert response.status_code == 503
        assert response.json is not None
        assert "flask db init" in response.json["message"]
    database.close_all()


def test_an_exhausted_pool_is_503(settings: Settings) -> None:
    client = create_app(dataclasses.replace(settings, threads=1)).test_client()
    database.init(database.database, max_connections=1, timeout=0.1, **database.connect_params)
    held, done = threading.Event(), threading.Event()

    def hold() -> None:
        with borrowed():
            held.set()
            done.wait(5)

    holder = threading.Thread(target=hold)
    holder.start()
    held.wait(5)
    response = client.get("/tasks/1")
    done.set()
    holder.join()
    assert response.status_code == 503
    assert response.json is not None
    assert response.json["message"] == "All database connections are busy; try again."
    assert client.get("/tasks/1").status_code == 404
    database.close_all()


def test_a_read_only_database_is_503(client: FlaskClient, app: Flask) -> None:
    with borrowed():  # the test's own connection serves the request
        database.execute_sql("SET default_transaction_read_only = on")
        response = client.post("/tasks", json=TASK)
        database.execute_sql("SET default_transaction_read_only = off")
    assert response.status_code == 503
    assert response.json is not None
    assert "read-only" in response.json["message"]


def test_a_lock_held_by_someone_else_is_503(client: FlaskClient, database_url: str) -> None:
    other = psycopg2.connect(database_url)
    other.cursor().execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
    with borrowed():
        database.execute_sql("SET statement_timeout = '100ms'")
        response = client.get("/tasks/1")
        database.execute_sql("RESET statement_timeout")
    other.close()
    assert response.status_code == 503
    assert response.json is not None
    assert response.json["message"] == "The database did not answer in time; try again."


def test_the_unforeseen_is_a_generic_500(app: Flask, caplog: pytest.LogCaptureFixture) -> None:
    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("SELECT secret FROM insides")

    with caplog.at_level(logging.ERROR):
        response = app.test_client().get("/broken")
    assert response.status_code == 500
    assert response.json is not None
    assert response.json["code"] == 500
    assert "insides" not in response.text
    assert "SELECT secret FROM insides" in caplog.text


@pytest.mark.parametrize("path", ["/", "/nope", "/tasks/", "/docs/../../etc/passwd"])
def test_an_unknown_path_is_a_json_404(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.json is not None
    assert set(response.json) == {"code", "status", "message"}
