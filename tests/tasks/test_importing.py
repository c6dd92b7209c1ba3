"""Imports and restores: what is stored, and what a refused one leaves behind."""

import json
from collections.abc import Callable
from datetime import date, datetime, timezone
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from tracker.database import queries
from tracker.database.connection import connection, database
from tracker.database.models import Task
from tracker.demo.github import GitHub
from tracker.tasks import importing

Import = Callable[..., TestResponse]
LINES = '{"title": "a", "repository": "a/b"}\n{"title": "", "repository": "a/b"}\n{"title": "c"}\n'
USER = {
    "title": "Read",
    "description": "a\nb",
    "status": "in_progress",
    "priority": "high",
    "tags": ["x", "y"],
    "due_date": "2030-01-31",
    "repository": "pallets/flask",
    "issue": 12,
}


@pytest.fixture
def load(client: FlaskClient) -> Import:
    """Import a body with this query."""

    def load(body: str | bytes, query: str = "") -> TestResponse:
        return client.post(f"/tasks/import?{query}", data=body, content_type="text/plain")

    return load


def export(client: FlaskClient) -> bytes:
    body: bytes = client.get("/tasks/export").data
    return body


def test_a_record_becomes_a_pending_task(client: FlaskClient, load: Import, github: GitHub) -> None:
    response = load(json.dumps(USER))
    assert (response.status_code, response.get_json()) == (
        200,
        {"created": 1, "invalid": [], "more_invalid": []},
    )
    (task,) = client.get("/tasks").get_json()
    assert task["metadata_status"] == "pending"
    assert (task["version"], task["completed_at"]) == (1, None)
    assert {name: task[name] for name in USER} == USER
    assert github.calls == []


def test_tasks_get_ids_in_the_order_of_the_lines(client: FlaskClient, load: Import) -> None:
    load("".join(f"a/b {number}\n" for number in range(1200)))
    titles = [json.loads(line)["title"] for line in export(client).splitlines()]
    assert titles == [str(number) for number in range(1200)]


def test_a_done_task_is_completed_by_the_import(client: FlaskClient, load: Import) -> None:
    load(json.dumps(USER | {"status": "done"}))
    (task,) = client.get("/tasks").get_json()
    assert task["completed_at"] == task["created_at"]


def test_an_export_can_be_imported_as_new_tasks(client: FlaskClient, load: Import) -> None:
    client.post("/tasks", json=USER)
    for query in ("format=jsonl", "format=csv"):
        body = client.get(f"/tasks/export?{query}").data
        assert load(body).get_json()["created"] == 1
        first, second = client.get("/tasks?sort=created_at").get_json()
        assert {name: first[name] for name in USER} == {name: second[name] for name in USER}
        client.delete(f"/tasks/{second['id']}")


def test_an_import_with_an_invalid_record_stores_nothing(client: FlaskClient, load: Import) -> None:
    response = load(LINES)
    assert response.status_code == 422
    body = response.get_json()
    assert (body["reason"], body["created"], body["more_invalid"]) == ("invalid_records", 0, [])
    assert body["invalid"] == [
        {
            "line": 2,
            "errors": {"title": ["Length must be between 1 and 200."]},
            "text": '{"title": "", "repository": "a/b"}',
        },
        {
            "line": 3,
            "errors": {"repository": ["Missing data for required field."]},
            "text": '{"title": "c"}',
        },
    ]
    assert export(client) == b""


def test_invalid_records_can_be_skipped(client: FlaskClient, load: Import) -> None:
    response = load(LINES, "skip_invalid=true")
    assert response.status_code == 200
    assert response.get_json()["created"] == 1
    assert [each["line"] for each in response.get_json()["invalid"]] == [2, 3]
    assert len(client.get("/tasks").get_json()) == 1


def test_an_import_of_invalid_records_alone_is_refused(load: Import) -> None:
    assert load("{}", "skip_invalid=true").status_code == 422


def test_further_invalid_records_are_told_by_their_lines(load: Import) -> None:
    body = load("{}\n" * 25).get_json()
    assert (len(body["invalid"]), body["more_invalid"]) == (20, [21, 22, 23, 24, 25])
    assert body["message"].startswith("Nothing is imported, because of invalid records: 25")


def test_the_errors_of_a_record_are_bounded(load: Import) -> None:
    body = load(json.dumps({f"{'x' * 200}{number}": 1 for number in range(900)})).get_json()
    (invalid,) = body["invalid"]
    assert invalid["errors"]["_more"] == ["882 further errors."]
    assert len(json.dumps(invalid)) < 5_000


def test_a_dry_run_checks_and_stores_nothing(client: FlaskClient, load: Import) -> None:
    assert load("a/b\nc/d", "dry_run=true").get_json()["created"] == 2
    assert load("a/b\nnope", "dry_run=true").status_code == 422
    assert export(client) == b""


def test_too_many_records_are_refused(
    client: FlaskClient, load: Import, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importing, "RECORDS_MAX", 2)
    assert load("a/b\nc/d").status_code == 200
    assert load("a/b\nc/d\ne/f").status_code == 413
    assert len(client.get("/tasks").get_json()) == 2


def stored(client: FlaskClient, github: GitHub) -> bytes:
    """Create a task in each state; return their export."""
    client.post("/tasks", json=USER)
    client.patch("/tasks/1", json={"status": "done"})
    github.fault = None
    client.post("/tasks", json={"title": "b", "repository": "psf/requests", "status": "done"})
    client.post("/tasks/import", data="x/y#5 c", content_type="text/plain")
    return export(client)


def delete_all(app: Flask) -> None:
    with connection():
        Task.delete().execute()


def test_a_restore_keeps_everything(
    app: Flask, client: FlaskClient, load: Import, github: GitHub
) -> None:
    before = stored(client, github)
    last = json.loads(before.splitlines()[-1])["id"]
    delete_all(app)
    with connection():
        database.execute_sql("SELECT setval('tasks_id_seq', 1, false)")
    assert load(before, "restore=true").get_json()["created"] == 3
    assert export(client) == before
    load("a/b")
    assert client.get("/tasks?limit=1").get_json()[0]["id"] == last + 1


def test_a_restored_task_can_be_refreshed(
    app: Flask, client: FlaskClient, load: Import, github: GitHub
) -> None:
    task = client.post("/tasks", json=USER).get_json()
    before = export(client)
    delete_all(app)
    load(before, "restore=true")
    github.repositories["pallets/flask"]["stars"] += 1
    refreshed = client.post(f"/tasks/{task['id']}/refresh").get_json()
    assert refreshed["stars"] == task["stars"] + 1


def test_a_restore_needs_a_tracker_without_tasks(client: FlaskClient, load: Import) -> None:
    load("a/b")
    before = export(client)
    other = json.loads(before) | {"id": json.loads(before)["id"] + 1000}
    response = load(json.dumps(other), "restore=true")
    assert (response.status_code, response.get_json()["reason"]) == (412, "tasks_exist")
    assert export(client) == before


def test_a_dry_run_of_a_restore_leaves_the_ids(
    app: Flask, client: FlaskClient, load: Import
) -> None:
    load("a/b")
    first = json.loads(export(client))
    delete_all(app)
    load(json.dumps(first | {"id": first["id"] + 1000}), "restore=true&dry_run=true")
    load("a/b")
    assert json.loads(export(client))["id"] == first["id"] + 1


CURRENT = {
    "repository_url": "https://github.com/a/b",
    "stars": 1,
    "archived": False,
    "metadata_status": "current",
    "metadata_fetched_at": "2030-01-31T09:30:00.000000Z",
}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": 0}, "id"),
        ({"id": 2**53}, "id"),
        ({"id": "1"}, "id"),
        ({"version": 0}, "version"),
        ({"version": 2**63}, "version"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"updated_at": None}, "updated_at"),
        ({"title": "a\0"}, "title"),
        ({"repository": "https://github.com/a/b"}, "repository"),
        ({"completed_at": "2030-01-31T09:30:00Z"}, "completed_at"),
        ({"metadata_status": "current"}, "metadata_status"),
        ({"metadata_status": "lost"}, "metadata_status"),
        ({"unknown": 1}, "unknown"),
        ({"stars": 5}, "repository_url"),
        (CURRENT | {"stars": -1}, "stars"),
        (CURRENT | {"stars": None}, "stars"),
        (CURRENT | {"archived": "no"}, "archived"),
        (CURRENT | {"metadata_fetched_at": None}, "metadata_fetched_at"),
        (CURRENT | {"repository_url": "javascript:alert(1)"}, "repository_url"),
        (CURRENT | {"repository_url": "https://evil.example/a/b"}, "repository_url"),
        (CURRENT | {"repository_url": "https://evil.example\\@github.com/a/b"}, "repository_url"),
        (CURRENT | {"repository_url": "https://["}, "repository_url"),
        (CURRENT | {"repository_url": "https://[::::]/a/b"}, "repository_url"),
        (CURRENT | {"repository_url": "https://github.com/" + "x" * 300}, "repository_url"),
        (CURRENT | {"topics": "python"}, "topics"),
    ],
)
def test_a_restored_field_has_the_usual_rules(
    app: Flask, client: FlaskClient, load: Import, changes: dict[str, Any], field: str
) -> None:
    load("a/b")
    task = json.loads(export(client))
    delete_all(app)
    response = load(json.dumps(task | changes), "restore=true")
    assert response.status_code == 422
    assert field in response.get_json()["invalid"][0]["errors"]
    assert load(json.dumps(task | CURRENT), "restore=true").status_code == 200


def test_a_restored_version_is_exact_in_javascript(load: Import, app: Flask) -> None:
    load("a/b")
    task = json.loads(export(app.test_client()))
    delete_all(app)
    (invalid,) = load(json.dumps(task | {"version": 2**53}), "restore=true").get_json()["invalid"]
    assert list(invalid["errors"]) == ["version"]


def test_a_restore_forgets_the_keys_of_former_tasks(
    app: Flask, client: FlaskClient, load: Import
) -> None:
    headers = {"Idempotency-Key": "one"}
    first = client.post("/tasks", json=USER, headers=headers).get_json()
    line = json.loads(export(client)) | {"title": "Another"}
    delete_all(app)
    assert load(json.dumps(line), "restore=true").status_code == 200
    second = client.post("/tasks", json=USER, headers=headers).get_json()
    assert (second["title"], second["id"] > first["id"]) == (USER["title"], True)


def test_a_restored_task_needs_every_field(load: Import) -> None:
    errors = load('{"id": 1}', "restore=true").get_json()["invalid"][0]["errors"]
    assert errors["title"] == ["Missing data for required field."]
    assert load("1", "restore=true").status_code == 422


def test_an_id_is_restored_once(app: Flask, client: FlaskClient, load: Import) -> None:
    load("a/b")
    line = export(client)
    delete_all(app)
    (invalid,) = load(line + line, "restore=true").get_json()["invalid"]
    assert (invalid["line"], invalid["errors"]) == (2, {"id": ["Another record has this id."]})


def test_control_characters_of_github_are_dropped(
    app: Flask, client: FlaskClient, load: Import
) -> None:
    load("a/b")
    task = json.loads(export(client)) | CURRENT
    delete_all(app)
    task |= {"repository_description": "a\x1b[31m\u202eb", "homepage": "javascript:x"}
    load(json.dumps(task), "restore=true")
    restored = json.loads(export(client))
    assert (restored["repository_description"], restored["homepage"]) == ("a[31mb", None)


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=50)
LABELS = st.text(st.characters(categories=["L", "N", "P", "Zs"]), max_size=50)
MOMENTS = st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(timezone.utc))
WORDS = st.from_regex(r"[!-~]{1,20}", fullmatch=True)
SET_BY_USER = st.fixed_dictionaries(
    {
        "title": WORDS,
        "description": st.none() | TEXTS,
        "status": st.sampled_from(["open", "in_progress"]),
        "priority": st.sampled_from(["low", "normal", "high"]),
        "tags": st.lists(WORDS, max_size=5, unique_by=str.lower),
        "due_date": st.none() | st.dates(date(1, 1, 1)),
        "issue": st.none() | st.integers(1, 2**31 - 1),
        "version": st.integers(1, 2**53 - 1),
        "created_at": MOMENTS,
        "updated_at": MOMENTS,
    }
)
FETCHED = st.fixed_dictionaries(
    {
        "repository_id": st.integers(1, 2**63 - 1),
        "repository_url": st.just("https://github.com/Owner-1/name.x"),
        "repository_description": st.none() | LABELS,
        "stars": st.integers(0, 2**63 - 1),
        "language": st.none() | LABELS,
        "archived": st.booleans(),
        "pushed_at": st.none() | MOMENTS,
        "topics": st.none() | st.lists(LABELS, max_size=20),
        "license": st.none() | LABELS,
        "homepage": st.none() | WORDS.map(lambda word: f"https://{word}"),
        "fork": st.none() | st.booleans(),
        "visibility": st.none() | st.sampled_from(["public", "private", "internal"]),
        "metadata_status": st.sampled_from(["current", "unavailable"]),
        "metadata_fetched_at": MOMENTS,
    }
)
NEVER_FETCHED = st.fixed_dictionaries(
    {"metadata_status": st.sampled_from(["pending", "unavailable"])}
)
DONE = st.fixed_dictionaries({"status": st.just("done"), "completed_at": st.none() | MOMENTS})
TASKS = st.builds(
    lambda *parts: {name: value for part in parts for name, value in part.items()},
    SET_BY_USER,
    FETCHED | NEVER_FETCHED,
    st.just({}) | DONE,
)


@given(st.lists(TASKS, max_size=5))
def test_export_restore_export_gives_the_same_bytes(
    app: Flask, client: FlaskClient, load: Import, tasks: list[dict[str, Any]]
) -> None:
    with connection():
        for task in tasks:
            queries.insert_task({"repository": "Owner-1/name.x", **task})
    before = export(client)
    delete_all(app)
    assert load(before, "restore=true").get_json()["created"] == len(tasks)
    assert export(client) == before
    delete_all(app)
