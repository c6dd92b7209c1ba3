"""Errors: one shape, the right status, and nothing about the service's internals."""

import dataclasses
import logging
import re
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Event
from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient

from tracker import create_app
from tracker.api.parsing import BODY_MAX
from tracker.api.refusals import HTTP_REASONS, reasons
from tracker.config import Settings
from tracker.database import connection as connection_module
from tracker.database.connection import configure, connection, database
from tracker.demo.github import FAULTS, GitHub
from tracker.errors import TrackerError

TASK = {"title": "Read the docs", "repository": "pallets/flask"}


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, github_timeout=0.5)


@pytest.mark.parametrize(
    ("fault", "status", "reason", "message"),
    [
        ("401", 502, "github_token_required", "GITHUB_TOKEN"),
        ("500", 502, "github_failed", "status 500"),
        ("not-json", 502, "github_response_unusable", "unusable response"),
        ("no-stars", 502, "github_response_unusable", "unusable response"),
        ("closed", 502, "github_unreachable", "can't be reached"),
        ("redirect-elsewhere", 502, "github_response_unusable", "another host"),
        ("403-limit", 503, "github_rate_limited", "limits our requests"),
        ("429-retry-after", 503, "github_rate_limited", "limits our requests"),
        ("silent", 504, "github_timeout", "0.5 seconds"),
    ],
)
def test_a_failure_of_github_is_named_and_nothing_is_stored(
    client: FlaskClient, github: GitHub, fault: str, status: int, reason: str, message: str
) -> None:
    github.fault = FAULTS[fault]
    response = client.post("/tasks", json=TASK)
    assert response.status_code == status
    assert (response.get_json()["code"], response.get_json()["reason"]) == (status, reason)
    assert message in response.get_json()["message"]
    assert client.get("/tasks").get_json() == []


@pytest.mark.parametrize(
    ("fault", "reason", "message"),
    [
        ("403", "repository_forbidden", "forbids"),
        ("404", "repository_not_found", "does not exist"),
        ("451", "repository_blocked", "blocked"),
    ],
)
def test_a_repository_that_github_refuses_is_an_invalid_field(
    client: FlaskClient, github: GitHub, fault: str, reason: str, message: str
) -> None:
    github.fault = FAULTS[fault]
    response = client.post("/tasks", json=TASK)
    assert response.status_code == 422
    assert response.get_json()["reason"] == reason
    (error,) = response.get_json()["errors"]["json"]["repository"]
    assert "pallets/flask" in error
    assert message in error
    assert client.get("/tasks").get_json() == []


def test_a_rate_limit_has_the_time_to_wait(client: FlaskClient, github: GitHub) -> None:
    github.fault = FAULTS["429-retry-after"]
    assert client.post("/tasks", json=TASK).headers["Retry-After"] == "30"


def test_a_failed_replacement_changes_nothing(client: FlaskClient, github: GitHub) -> None:
    task = client.post("/tasks", json=TASK).get_json()
    github.fault = FAULTS["500"]
    path = f"/tasks/{task['id']}"
    assert client.put(path, json=TASK | {"repository": "git/git"}).status_code == 502
    assert client.get(path).get_json() == task


def test_reads_and_edits_need_no_github(client: FlaskClient, github: GitHub) -> None:
    path = f"/tasks/{client.post('/tasks', json=TASK).get_json()['id']}"
    github.fault = FAULTS["silent"]
    assert client.get(path).status_code == 200
    assert client.put(path, json=TASK | {"title": "New"}).status_code == 200
    assert client.delete(path).status_code == 204


def test_an_unreachable_database_is_503(
    client: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    configure(Settings(database_url="postgresql://someone:hunter2@127.0.0.1:1/nowhere"))
    for response in (
        client.get("/tasks/1"),
        client.get("/tasks"),
        client.post("/tasks", json=TASK),
        client.put("/tasks/1", json=TASK),
        client.delete("/tasks/1"),
        client.get("/health/ready"),
    ):
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "2"
        assert response.get_json() == {
            "code": 503,
            "status": "Service Unavailable",
            "reason": "database_unavailable",
            "message": "Database can't be reached; try again.",
        }
    assert "Connection refused" in caplog.text
    assert "hunter2" not in caplog.text


def test_a_missing_schema_is_503_with_the_command(
    client: FlaskClient, empty_database_url: str
) -> None:
    configure(Settings(database_url=empty_database_url))
    for path in ("/tasks/1", "/tasks", "/health/ready"):
        response = client.get(path)
        assert response.status_code == 503
        assert "flask db init" in response.get_json()["message"]
        assert response.get_json()["reason"] == "database_schema_outdated"
    database.close_idle()


def test_an_exhausted_pool_is_503(
    client: FlaskClient, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection_module, "CHECKOUT_TIMEOUT", 0.1)
    configure(dataclasses.replace(settings, database_pool_size=1))
    checked_out, done = Event(), Event()

    def hold() -> None:
        with connection():
            checked_out.set()
            done.wait(5)

    with ThreadPoolExecutor() as pool:
        pool.submit(hold)
        checked_out.wait(5)
        response = client.get("/tasks/1")
        done.set()
    assert response.status_code == 503
    assert response.get_json()["message"] == "All database connections are in use; try again."
    assert response.get_json()["reason"] == "database_pool_exhausted"
    assert client.get("/tasks/1").status_code == 404


def test_a_read_only_database_is_503_until_it_is_writable(
    client: FlaskClient, database_url: str
) -> None:
    with closing(psycopg2.connect(database_url)) as other, other.cursor() as cursor:
        other.autocommit = True
        name = other.info.dbname
        cursor.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        try:
            response = client.post("/tasks", json=TASK)
        finally:
            cursor.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    assert response.status_code == 503
    assert "read-only" in response.get_json()["message"]
    assert client.post("/tasks", json=TASK).status_code == 201


def test_a_statement_that_waits_too_long_is_503(client: FlaskClient, database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as other:
        other.cursor().execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        with connection():
            database.execute_sql("SET statement_timeout = '100ms'")
            response = client.get("/tasks/1")
            database.execute_sql("RESET statement_timeout")
    assert response.status_code == 503
    assert response.get_json()["message"] == "Database did not respond in time; try again."
    assert response.get_json()["reason"] == "database_timeout"


def test_an_unexpected_error_is_a_generic_500(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    app = create_app(settings)

    @app.get("/broken")
    def broken() -> str:
        raise RuntimeError("SELECT secret FROM insides")

    with caplog.at_level(logging.ERROR):
        response = app.test_client().get("/broken")
    assert response.status_code == 500
    assert response.get_json() == {
        "code": 500,
        "status": "Internal Server Error",
        "reason": "internal_error",
        "message": "Internal error; the log has details under this X-Request-ID.",
    }
    assert "SELECT secret FROM insides" in caplog.text


@pytest.mark.parametrize("path", ["/nope", "/nope/", "/docs/../../etc/passwd"])
def test_an_unknown_path_is_a_json_404(client: FlaskClient, path: str) -> None:
    response = client.get(path)
    assert response.status_code == 404
    assert response.get_json() == {
        "code": 404,
        "status": "Not Found",
        "reason": "path_not_found",
        "message": "Nothing is served at this path; see /docs.",
    }


HUGE = b" " * (BODY_MAX + 1)
REFUSALS = [
    ("malformed_json", 400, "POST", "/tasks", {"data": b"{", "content_type": "application/json"}),
    ("malformed_query", 400, "GET", "/tasks", {"environ_overrides": {"QUERY_STRING": "q=\xff"}}),
    ("host_not_trusted", 400, "GET", "/tasks", {"headers": {"Host": "evil.example"}}),
    ("cross_site_request", 403, "GET", "/tasks", {"headers": {"Origin": "https://evil.example"}}),
    ("not_found", 404, "GET", f"/tasks/{2**63}", {}),
    ("not_found", 404, "GET", "/tasks/0", {}),
    ("not_found", 404, "DELETE", "/tasks/0", {}),
    ("not_found", 404, "GET", "/tasks/" + "9" * 5_000, {}),
    ("path_not_found", 404, "GET", "/tasks/07", {}),
    ("path_not_found", 404, "GET", "/tasks/-1", {}),
    ("path_not_found", 404, "GET", "/tasks/x", {}),
    ("method_not_allowed", 405, "PUT", "/tasks", {}),
    ("body_too_large", 413, "POST", "/tasks", {"data": HUGE, "content_type": "application/json"}),
    ("media_type_not_supported", 415, "POST", "/tasks", {"data": b"{}"}),
    ("invalid", 422, "POST", "/tasks", {"json": {}}),
    ("invalid", 422, "GET", "/tasks?status=lost", {}),
]


@pytest.mark.parametrize(("reason", "status", "method", "path", "options"), REFUSALS)
def test_a_refused_request_has_the_reason(
    client: FlaskClient, reason: str, status: int, method: str, path: str, options: dict[str, Any]
) -> None:
    response = client.open(path, method=method, **options)
    assert (response.status_code, response.get_json()["reason"]) == (status, reason)


def test_each_kind_of_error_has_a_reason_of_its_own() -> None:
    kinds: list[type[TrackerError]] = [TrackerError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    found = Counter(kind.reason for kind in kinds)
    assert {reason for reason, number in found.items() if number > 1} == {"github_failed"}
    shared = {"body_too_large", "internal_error", "invalid", "malformed_request"}
    assert found.keys() & set(HTTP_REASONS.values()) == shared
    assert all(re.fullmatch("[a-z_]+", reason) for reason in reasons())


def test_the_document_lists_every_reason(client: FlaskClient) -> None:
    schema = client.get("/openapi.json").get_json()["components"]["schemas"]["Error"]
    assert schema["properties"]["reason"]["enum"] == reasons()
    assert "reason" in schema["required"]
