"""PATCH, conditional requests, and concurrent writes."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tracker.demo.github import GitHub

TASK = {"title": "Read the docs", "repository": "pallets/flask", "tags": ["a"], "priority": "high"}


@pytest.fixture
def task(client: FlaskClient) -> dict[str, Any]:
    response = client.post("/tasks", json=TASK)
    assert response.headers["ETag"] == '"1"'
    task = response.get_json()
    assert isinstance(task, dict)
    return task


def path(task: dict[str, Any]) -> str:
    return f"/tasks/{task['id']}"


@pytest.mark.parametrize("content_type", ["application/json", "application/merge-patch+json"])
def test_patch_changes_only_the_fields_that_it_has(
    client: FlaskClient, task: dict[str, Any], content_type: str
) -> None:
    body = '{"status": "done", "description": "x"}'
    response = client.patch(path(task), data=body, content_type=content_type)
    assert response.status_code == 200
    after = response.get_json()
    time = after["updated_at"]
    changed = {"status": "done", "completed_at": time, "description": "x", "version": 2}
    assert after == task | changed | {"updated_at": time}
    assert response.headers["ETag"] == '"2"'


def test_patch_with_null_removes_a_value(client: FlaskClient, task: dict[str, Any]) -> None:
    client.patch(path(task), json={"description": "x", "due_date": "2030-01-31"})
    after = client.patch(path(task), json={"description": None, "due_date": None}).get_json()
    assert (after["description"], after["due_date"]) == (None, None)


@pytest.mark.parametrize(
    "body", [{}, {"title": " Read the docs "}, {"repository": "PALLETS/flask"}]
)
def test_patch_with_the_same_values_changes_no_version(
    client: FlaskClient, github: GitHub, task: dict[str, Any], body: dict[str, Any]
) -> None:
    assert client.patch(path(task), json=body).get_json() == task
    assert len(github.calls) == 1


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"title": None}, "title"),
        ({"title": ""}, "title"),
        ({"status": None}, "status"),
        ({"tags": None}, "tags"),
        ({"repository": None}, "repository"),
        ({"star": 5}, "star"),
        ({"repository_id": 5}, "repository_id"),
        ([], "_schema"),
    ],
)
def test_patch_is_as_strict_as_put(
    client: FlaskClient, task: dict[str, Any], body: Any, field: str
) -> None:
    response = client.patch(path(task), json=body)
    assert response.status_code == 422
    assert list(response.get_json()["errors"]["json"]) == [field]
    assert client.get(path(task)).get_json() == task


@pytest.mark.parametrize(
    "spelling",
    [
        "Pallets/Flask",
        "https://github.com/pallets/flask",
        "git@github.com:pallets/flask.git",
        "https://github.com/pallets/flask/issues/1",
    ],
)
def test_another_spelling_of_the_repository_calls_no_github(
    client: FlaskClient, github: GitHub, task: dict[str, Any], spelling: str
) -> None:
    after = client.patch(path(task), json={"title": "New", "repository": spelling}).get_json()
    assert (after["title"], after["repository"]) == ("New", "pallets/flask")
    assert len(github.calls) == 1


def test_another_repository_calls_github(
    client: FlaskClient, github: GitHub, task: dict[str, Any]
) -> None:
    after = client.patch(path(task), json={"repository": "git/git"}).get_json()
    assert (after["repository"], after["language"], after["tags"]) == ("git/git", "C", ["a"])
    assert len(github.calls) == 2


def test_what_get_returned_can_be_changed_and_sent_back(
    client: FlaskClient, github: GitHub, task: dict[str, Any]
) -> None:
    changed = task | {"title": "New", "stars": "many", "version": None, "id": 7}
    for number, method in enumerate(("put", "patch"), 2):
        after = client.open(path(task), method=method, json=changed | {"status": "done"}).get_json()
        assert (after["title"], after["status"]) == ("New", "done")
        assert (after["id"], after["stars"]) == (task["id"], task["stars"])
        assert after["version"] == 2
        assert client.open(path(task), method=method, json=after).get_json() == after, number
    copy = client.post("/tasks", json=task).get_json()
    assert (copy["title"], copy["version"]) == (task["title"], 1)
    assert copy["id"] != task["id"]


@pytest.mark.parametrize("name", ["TaskInput", "TaskPatch"])
def test_the_document_allows_a_body_as_get_returned_it(
    client: FlaskClient, task: dict[str, Any], name: str
) -> None:
    components = client.get("/openapi.json").get_json()["components"]
    schema = {"$ref": f"#/components/schemas/{name}", "components": components}
    validator = jsonschema_rs.Draft202012Validator(schema)
    validator.validate(task)
    assert not validator.is_valid(task | {"prio": "high"})
    assert not validator.is_valid(task | {"title": 5})


@pytest.mark.parametrize(
    "content_type", ["application/json-patch+json", "application/vnd.api+json", "text/plain", None]
)
def test_patch_with_another_media_type_is_415_with_those_it_takes(
    client: FlaskClient, task: dict[str, Any], content_type: str | None
) -> None:
    body = '[{"op": "replace", "path": "/title", "value": "x"}]'
    response = client.patch(path(task), data=body, content_type=content_type)
    assert response.status_code == 415
    assert response.headers["Accept-Patch"] == "application/json, application/merge-patch+json"
    assert "Accept-Patch" not in client.put(path(task), data=body).headers


def test_a_deletion_has_neither_body_nor_content_type(
    client: FlaskClient, task: dict[str, Any]
) -> None:
    response = client.delete(path(task))
    assert (response.status_code, response.data) == (204, b"")
    assert "Content-Type" not in response.headers


@pytest.mark.parametrize(
    "tag", ['"1"', "*", 'W/"1"', '"7", "1"', '"1-gzip"', 'W/"1-br"', '"x", "1"']
)
def test_if_none_match_with_the_etag_is_304(
    client: FlaskClient, task: dict[str, Any], tag: str
) -> None:
    response = client.get(path(task), headers={"If-None-Match": tag})
    assert (response.status_code, response.data) == (304, b"")
    assert response.headers["ETag"] == '"1"'


@pytest.mark.parametrize("tag", ['"2"', "", '"', '"1-x"', '"x"', '"2-gzip"'])
def test_if_none_match_with_another_etag_is_200(
    client: FlaskClient, task: dict[str, Any], tag: str
) -> None:
    response = client.get(path(task), headers={"If-None-Match": tag})
    assert (response.status_code, response.get_json()) == (200, task)
    assert response.headers["ETag"] == '"1"'


WRITES = ["put", "patch", "delete"]


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("tag", ['"1"', "*", '"7", "1"', 'W/"1"', '"1-gzip"', 'W/"1-gzip"'])
def test_a_write_with_a_matching_if_match_succeeds(
    client: FlaskClient, task: dict[str, Any], method: str, tag: str
) -> None:
    body = TASK | {"title": "New"}
    response = client.open(path(task), method=method, json=body, headers={"If-Match": tag})
    assert response.status_code in (200, 204)
    assert client.get(path(task)).get_json() != task


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize("tag", ['"2"', 'W/"2"', '"2-gzip"', '"7", "8"'])
def test_a_write_with_another_if_match_is_412_with_the_etag(
    client: FlaskClient, github: GitHub, task: dict[str, Any], method: str, tag: str
) -> None:
    body = TASK | {"title": "New", "repository": "git/git"}
    response = client.open(path(task), method=method, json=body, headers={"If-Match": tag})
    assert response.status_code == 412
    assert response.headers["ETag"] == '"1"'
    assert client.get(path(task)).get_json() == task
    assert len(github.calls) == 1


@pytest.mark.parametrize("method", WRITES)
@pytest.mark.parametrize(
    "tag", ["", '""', '"', '"1x"', '"1-x"', '"0"', f'"{2**63}"', 'W/"x"', '"1", "x"', '"é"']
)
def test_an_if_match_that_names_no_version_is_422(
    client: FlaskClient, task: dict[str, Any], method: str, tag: str
) -> None:
    response = client.open(path(task), method=method, json=TASK, headers={"If-Match": tag})
    assert response.status_code == 422
    message = 'Takes ETags of a task, such as "3", or *.'
    assert response.get_json()["errors"] == {"headers": {"If-Match": [message]}}
    assert client.get(path(task)).get_json() == task


@pytest.mark.parametrize("method", WRITES)
def test_if_match_on_a_missing_task_is_404(client: FlaskClient, method: str) -> None:
    response = client.open("/tasks/1", method=method, json=TASK, headers={"If-Match": "*"})
    assert response.status_code == 404


@pytest.mark.parametrize("method", ["put", "patch"])
def test_exactly_one_of_50_writers_with_one_etag_succeeds(
    app: Flask, client: FlaskClient, task: dict[str, Any], method: str
) -> None:
    def write(number: int) -> int:
        body = TASK | {"title": f"Writer {number}"}
        headers = {"If-Match": '"1"'}
        client = app.test_client()
        return client.open(path(task), method=method, json=body, headers=headers).status_code

    with ThreadPoolExecutor(16) as pool:
        statuses = sorted(pool.map(write, range(50)))
    assert statuses == [200] + [412] * 49
    assert client.get(path(task)).get_json()["version"] == 2


def test_concurrent_writers_keep_changes_of_other_fields(
    app: Flask, client: FlaskClient, task: dict[str, Any]
) -> None:
    changes = [{"title": "New"}, {"status": "done"}, {"description": "x"}, {"priority": "low"}]

    def write(change: dict[str, str]) -> int:
        return app.test_client().patch(path(task), json=change).status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(write, changes)) == {200}
    after = client.get(path(task)).get_json()
    assert after["version"] == 5
    for change in changes:
        assert after | change == after


def test_concurrent_writers_and_a_deletion_all_succeed_or_404(
    app: Flask, client: FlaskClient, task: dict[str, Any]
) -> None:
    def write(number: int) -> int:
        if number == 10:
            return app.test_client().delete(path(task)).status_code
        return app.test_client().patch(path(task), json={"title": f"{number}"}).status_code

    with ThreadPoolExecutor(8) as pool:
        statuses = set(pool.map(write, range(30)))
    assert statuses <= {200, 204, 404}
    assert client.get(path(task)).status_code == 404
