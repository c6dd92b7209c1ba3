"""The examples of failures in the OpenAPI document are what the service responds."""

import dataclasses
import json
import re
from collections.abc import Callable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import psycopg2
import pytest
from flask.testing import FlaskClient
from peewee import SQL
from werkzeug.test import TestResponse

from tracker.api.failures import FAILURES
from tracker.api.refusals import gunicorn_error
from tracker.config import Settings
from tracker.database.connection import configure, connection, database, init_pool
from tracker.database.driver import SETTINGS
from tracker.database.models import IdempotencyKey
from tracker.demo.github import FAULTS, GitHub
from tracker.tasks import importing, service
from tracker.tasks.export import EXPORTS_MAX, process_slot

TASK = {"title": "Read the docs", "repository": "pallets/flask"}
KEY = {"Idempotency-Key": "a-key"}


@dataclass
class World:
    """The service and what it stands on, to be brought to where a request fails."""

    client: FlaskClient
    client_with: Callable[..., FlaskClient]
    github: GitHub
    request: pytest.FixtureRequest
    monkeypatch: pytest.MonkeyPatch

    def create(self, **options: Any) -> TestResponse:
        return self.client.post("/tasks", **{"json": TASK, **options})

    def create_during(self, fault: str) -> TestResponse:
        self.github.fault = FAULTS[fault]
        return self.create()


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, github_timeout=0.5)


@pytest.fixture
def world(
    client: FlaskClient,
    client_with: Callable[..., FlaskClient],
    github: GitHub,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> World:
    monkeypatch.setattr(service, "LEASE_MARGIN", 0)
    return World(client, client_with, github, request, monkeypatch)


def token_missing(world: World) -> TestResponse:
    return world.client_with(api_token="secret").get("/tasks")


def token_wrong(world: World) -> TestResponse:
    wrong = {"Authorization": "Bearer public"}
    return world.client_with(api_token="secret").get("/tasks", headers=wrong)


def created_task_deleted(world: World) -> TestResponse:
    world.client.delete(world.create(headers=KEY).location)
    return world.create(headers=KEY)


def precondition_failed(world: World) -> TestResponse:
    return world.client.delete(world.create().location, headers={"If-Match": '"2"'})


def unexpected_matches(world: World) -> TestResponse:
    world.create()
    return world.client.delete("/tasks?status=open&expect=2")


def too_many_tags(world: World) -> TestResponse:
    world.create(json=TASK | {"tags": [str(number) for number in range(20)]})
    return world.client.patch("/tasks?status=open", json={"add_tags": ["one more"]})


def search_too_broad(world: World) -> TestResponse:
    """A search that waits for a lock as long as a statement may take."""
    settings: Settings = world.client.application.config["SETTINGS"]
    init_pool(database, settings, timeout=1, session=SETTINGS | {"lock_timeout": "0"})
    with closing(psycopg2.connect(settings.database_url)) as other:
        other.cursor().execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        return world.client.get('/tasks?q="of the"')


def import_file(world: World, body: bytes, query: str = "", **options: Any) -> TestResponse:
    options = {"content_type": "text/plain", **options}
    return world.client.post(f"/tasks/import?{query}", data=body, **options)


def too_many_records(world: World) -> TestResponse:
    world.monkeypatch.setattr(importing, "RECORDS_MAX", 2)
    return import_file(world, b"a/b\n" * 3)


def tasks_exist(world: World) -> TestResponse:
    world.create()
    return import_file(world, world.client.get("/tasks/export").data, "restore=true")


def import_in_progress(world: World) -> TestResponse:
    with importing.process_slot():
        return import_file(world, b"")


def too_many_exports(world: World) -> TestResponse:
    with ExitStack() as running:
        for _ in range(EXPORTS_MAX):
            running.enter_context(process_slot())
        return world.client.get("/tasks/export")


def idempotency_key_reused(world: World) -> TestResponse:
    world.create(headers=KEY)
    return world.create(headers=KEY, json=TASK | {"title": "Other"})


def idempotency_key_in_progress(world: World) -> TestResponse:
    world.create(headers=KEY)
    with connection():
        later = SQL("now() + interval '1 hour'")
        IdempotencyKey.update(task_id=None, claimed_at=later).execute()
    return world.create(headers=KEY)


def internal_error(world: World) -> TestResponse:
    def broken() -> str:
        raise RuntimeError

    client = world.client_with()
    client.application.view_functions["tasks.list_tasks"] = broken
    return client.get("/tasks")


def github_token_rejected(world: World) -> TestResponse:
    world.github.token = "another"
    return world.client_with(github_token="expired").post("/tasks", json=TASK)


def database_unavailable(world: World) -> TestResponse:
    configure(Settings(database_url="postgresql://127.0.0.1:1/nowhere"))
    return world.client.get("/health/ready")


def database_schema_outdated(world: World) -> TestResponse:
    configure(Settings(database_url=world.request.getfixturevalue("empty_database_url")))
    response = world.client.get("/tasks/1")
    database.close_idle()
    return response


FAIL: dict[str, Callable[[World], TestResponse]] = {
    "host_not_trusted": lambda world: world.client.get(
        "/tasks", headers={"Host": "tracker.example"}
    ),
    "malformed_query": lambda world: world.client.get(
        "/tasks", environ_overrides={"QUERY_STRING": "q=\xff"}
    ),
    "malformed_json": lambda world: world.create(
        json=None, data="", content_type="application/json"
    ),
    "token_missing": token_missing,
    "token_wrong": token_wrong,
    "cross_site_request": lambda world: world.create(headers={"Sec-Fetch-Site": "cross-site"}),
    "task_not_found": lambda world: world.client.get("/tasks/1"),
    "no_tasks_on_repository": lambda world: world.client.get("/repositories/pallets/flask"),
    "created_task_deleted": created_task_deleted,
    "precondition_failed": precondition_failed,
    "unexpected_matches": unexpected_matches,
    "too_many_tags": too_many_tags,
    "search_too_broad": search_too_broad,
    "body_too_large": lambda world: world.create(json=TASK | {"description": "x" * 300_000}),
    "media_type_not_supported": lambda world: world.create(json=None, data="title=Read"),
    "patch_type_not_supported": lambda world: world.client.patch(
        "/tasks/1", data="[]", content_type="application/json-patch+json"
    ),
    "invalid_if_match": lambda world: world.client.delete(
        "/tasks/1", headers={"If-Match": "three"}
    ),
    "invalid_query": lambda world: world.client.get("/tasks?status=lost"),
    "invalid_body": lambda world: world.create(json=TASK | {"title": ""}),
    "repository_not_found": lambda world: world.create(
        json=TASK | {"repository": "nobody/nothing"}
    ),
    "idempotency_key_reused": idempotency_key_reused,
    "internal_error": internal_error,
    "github_failed": lambda world: world.create_during("503"),
    "github_token_rejected": github_token_rejected,
    "database_unavailable": database_unavailable,
    "database_schema_outdated": database_schema_outdated,
    "too_many_exports": too_many_exports,
    "malformed_array": lambda world: import_file(world, b"[{},]"),
    "tasks_exist": tasks_exist,
    "import_too_large": lambda world: import_file(world, b" " * (100 * 1024 * 1024 + 1)),
    "too_many_records": too_many_records,
    "import_type_not_supported": lambda world: import_file(world, b"", content_type="image/png"),
    "invalid_records": lambda world: import_file(
        world, b'{"title": "", "repository": "pallets/flask"}'
    ),
    "import_in_progress": import_in_progress,
    "github_rate_limited": lambda world: world.create_during("403-limit"),
    "idempotency_key_in_progress": idempotency_key_in_progress,
    "github_timeout": lambda world: world.create_during("silent"),
}


def test_the_example_of_an_unparsed_request_is_true() -> None:
    # gunicorn finds it before the application is called; test_worker.py sends such requests
    found = gunicorn_error(HTTPStatus.BAD_REQUEST, ValueError())
    assert found == FAILURES["malformed_request"].example


@pytest.mark.parametrize("name", sorted(FAILURES.keys() - {"malformed_request"}))
def test_the_example_of_a_failure_is_true(world: World, name: str) -> None:
    response = FAIL[name](world)
    text = re.sub(r"Task \d+", "Task 1", response.text)
    text = text.replace("within 0.5 seconds", "within 10 seconds")
    text = text.replace("limit of 2 records", "limit of 200,000 records")
    assert (response.status_code, json.loads(text)) == (
        FAILURES[name].status,
        FAILURES[name].example,
    )
