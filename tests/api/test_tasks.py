"""The tasks, over HTTP: what a user sends and gets."""

import json
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


def test_a_task_keeps_all_that_its_user_wrote(client: FlaskClient) -> None:
    written = {
        "title": "Naïve 🎉 title",
        "description": "one\ntwo\t ",
        "status": "in_progress",
        "priority": "high",
        "tags": ["b", "a"],
        "due_date": "2030-01-31",
        "repository": "pallets/flask",
    }
    task = create(client, **written)
    assert {name: task[name] for name in written} == written
    assert client.get(f"/tasks/{task['id']}").json == task


def test_what_a_user_pastes_is_tidied(client: FlaskClient) -> None:
    task = create(
        client,
        title="  Trim me\n",
        tags=[" a ", "b", "a"],
        repository="https://github.com/PALLETS/Flask.git",
    )
    assert task["title"] == "Trim me"
    assert task["tags"] == ["a", "b"]
    assert task["repository"] == "pallets/flask"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", "x" * 200),
        ("title", "🎉" * 200),
        ("title", "  " + "x" * 200 + "  "),
        ("description", "🎉" * 10_000),
        ("description", ""),
        ("tags", [f"{number:050}" for number in range(20)]),
        ("tags", ["same"] * 21),
        ("due_date", "0001-01-01"),
        ("due_date", "9999-12-31"),
    ],
)
def test_a_value_at_its_limit_is_stored(client: FlaskClient, field: str, value: Any) -> None:
    task = create(client, **{field: value})
    assert client.get(f"/tasks/{task['id']}").json == task


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("title", None, "Field may not be null."),
        ("title", "", "Length must be between 1 and 200."),
        ("title", " \n\t ", "Length must be between 1 and 200."),
        ("title", "x" * 201, "Length must be between 1 and 200."),
        ("title", "two\nlines", "Must be one line."),
        ("title", "two\u2028lines", "Must be one line."),
        ("title", 5, "Not a valid string."),
        ("title", "nul\0", "Must not contain a NUL character."),
        ("title", "half \ud83d", "Must not contain half of a surrogate pair."),
        ("description", "x" * 10_001, "Longer than maximum length 10000."),
        ("description", "nul\0", "Must not contain a NUL character."),
        ("description", "half \udc00", "Must not contain half of a surrogate pair."),
        ("status", "closed", "Must be one of: open, in_progress, done."),
        ("status", None, "Field may not be null."),
        ("status", ["open"], "Not a valid string."),
        ("priority", "urgent", "Must be one of: low, normal, high."),
        ("tags", "flask", "Not a valid list."),
        ("tags", None, "Field may not be null."),
        ("tags", [str(number) for number in range(21)], "Longer than maximum length 20."),
        ("due_date", "2030-02-30", "There is no such day."),
        ("due_date", "20300131", "Must be a date as YYYY-MM-DD."),
        ("due_date", "2030-W05-4", "Must be a date as YYYY-MM-DD."),
        ("due_date", "2030-01-31T00:00:00", "Must be a date as YYYY-MM-DD."),
        ("due_date", "٢٠٣٠-٠١-٣١", "Must be a date as YYYY-MM-DD."),
        ("due_date", "0000-01-01", "There is no such day."),
        ("due_date", 20300131, "Must be a date as YYYY-MM-DD."),
        ("repository", 5, "Not a valid string."),
        ("id", 7, "Unknown field."),
        ("stars", 7, "Unknown field."),
        ("version", 7, "Unknown field."),
    ],
)
def test_an_invalid_field_is_named_and_nothing_is_stored(
    client: FlaskClient, github: GitHub, field: str, value: Any, message: str
) -> None:
    response = client.post("/tasks", json=TASK | {field: value})
    assert response.status_code == 422
    assert response.json is not None
    assert response.json["errors"] == {"json": {field: [message]}}
    assert client.get("/tasks/1").status_code == 404
    assert github.calls == []


def test_each_invalid_tag_is_named_by_its_place(client: FlaskClient) -> None:
    response = client.post("/tasks", json=TASK | {"tags": ["good", "", "x" * 51, 3, "a\nb"]})
    assert response.status_code == 422
    assert response.json is not None
    assert response.json["errors"]["json"]["tags"] == {
        "1": ["Length must be between 1 and 50."],
        "2": ["Length must be between 1 and 50."],
        "3": ["Not a valid string."],
        "4": ["Must be one line."],
    }


def test_all_missing_fields_are_named_at_once(client: FlaskClient) -> None:
    response = client.post("/tasks", json={})
    assert response.status_code == 422
    assert response.json is not None
    missing = ["Missing data for required field."]
    assert response.json["errors"]["json"] == {"title": missing, "repository": missing}


@pytest.mark.parametrize("body", [[], [TASK], "text", 5, True, None])
def test_a_body_that_is_no_object_is_refused(client: FlaskClient, body: Any) -> None:
    text = json.dumps(body)
    response = client.post("/tasks", data=text, content_type="application/json")
    assert response.status_code == 422
    assert response.json is not None
    assert response.json["errors"] == {"json": {"_schema": ["Invalid input type."]}}


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "Expecting value"),
        (b"{", "Expecting property name"),
        (b"{'title': 1}", "Expecting property name"),
        (b'{"title": NaN}', "NaN is no JSON number"),
        (b'{"title": -Infinity}', "-Infinity is no JSON number"),
        (b'{"title": 1, "title": 2}', 'the key "title" appears twice'),
        (b'{"title": ' + b"9" * 5_000 + b"}", "a number has more than 1,000 digits"),
        (b'{"title": "\xff"}', "can't decode byte 0xff"),
        ('{"title": 1}'.encode("utf-16"), "can't decode byte"),
        (b'{"title": "raw \n break"}', "Invalid control character"),
        (b"[" * 100_000, "nested too deep"),
    ],
)
def test_malformed_json_is_400_and_says_where(
    client: FlaskClient, body: bytes, reason: str
) -> None:
    response = client.post("/tasks", data=body, content_type="application/json")
    assert response.status_code == 400
    assert response.json is not None
    assert reason in response.json["message"]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/x-www-form-urlencoded", "text/json", "x"]
)
def test_a_body_not_declared_as_json_is_415(client: FlaskClient, content_type: str | None) -> None:
    response = client.post("/tasks", data=b"{}", content_type=content_type)
    assert response.status_code == 415
    assert response.json is not None
    assert "Content-Type: application/json" in response.json["message"]


def test_the_longest_valid_task_fits_fully_escaped(client: FlaskClient) -> None:
    def escaped(length: int) -> str:
        return r"\ud83c\udf89" * length

    tags = ",".join(f'"{escaped(48)}{number:02}"' for number in range(20))
    body = (
        f'{{"title": "{escaped(200)}", "description": "{escaped(10_000)}", "tags": [{tags}],'
        ' "status": "in_progress", "priority": "normal", "due_date": "2030-01-31",'
        ' "repository": "pallets/flask"}'
    )
    assert client.post("/tasks", data=body, content_type="application/json").status_code == 201


@pytest.mark.parametrize(("size", "status"), [(256 * 1024, 422), (256 * 1024 + 1, 413)])
def test_a_body_over_256_kib_is_too_large(client: FlaskClient, size: int, status: int) -> None:
    frame = b'{"padding": ""}'
    body = frame[:-2] + b"x" * (size - len(frame)) + frame[-2:]
    response = client.post("/tasks", data=body, content_type="application/json")
    assert response.status_code == status


@pytest.mark.parametrize("method", ["get", "put", "delete"])
@pytest.mark.parametrize("task_id", ["1", "9223372036854775807"])
def test_a_task_that_does_not_exist_is_404(
    client: FlaskClient, github: GitHub, method: str, task_id: str
) -> None:
    response = client.open(f"/tasks/{task_id}", method=method, json=TASK)
    assert response.status_code == 404
    assert response.json == {
        "code": 404,
        "status": "Not Found",
        "message": f"There is no task {task_id}.",
    }
    assert github.calls == []


@pytest.mark.parametrize(
    "path", ["9223372036854775808", "0", "-1", "1.5", "abc", "%00", "9" * 5_000, "٣", "1/", "007"]
)
def test_what_can_be_no_id_is_404(client: FlaskClient, path: str) -> None:
    assert client.get(f"/tasks/{path}").status_code == 404


@pytest.mark.parametrize(
    ("path", "method", "allowed"),
    [
        ("/tasks", "DELETE", {"GET", "HEAD", "OPTIONS", "POST"}),
        ("/tasks/1", "POST", {"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "PUT"}),
        ("/tasks/1/refresh", "GET", {"OPTIONS", "POST"}),
        ("/health/live", "PUT", {"GET", "HEAD", "OPTIONS"}),
    ],
)
def test_a_wrong_method_is_405_and_told_the_right_ones(
    client: FlaskClient, path: str, method: str, allowed: set[str]
) -> None:
    response = client.open(path, method=method)
    assert response.status_code == 405
    assert set(response.headers["Allow"].split(", ")) == allowed
    assert response.json is not None
    assert response.json["code"] == 405


def test_put_replaces_all_and_keeps_identity_and_metadata(
    client: FlaskClient, github: GitHub
) -> None:
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
        "version": 2,
        "updated_at": after["updated_at"],
    }
    assert len(github.calls) == 1


def test_put_of_what_is_there_already_changes_nothing(client: FlaskClient) -> None:
    before = create(client, tags=["a"], due_date="2030-01-31")
    again = TASK | {"tags": ["a"], "due_date": "2030-01-31", "repository": "Pallets/FLASK"}
    assert client.put(f"/tasks/{before['id']}", json=again).json == before


def test_put_of_another_repository_brings_its_metadata(client: FlaskClient) -> None:
    before = create(client)
    after = client.put(f"/tasks/{before['id']}", json=TASK | {"repository": "git/git"}).get_json()
    assert (after["repository"], after["stars"], after["language"]) == ("git/git", 56000, "C")
    assert after["version"] == 2


def test_put_with_an_unknown_repository_leaves_the_task_as_it_was(client: FlaskClient) -> None:
    before = create(client)
    response = client.put(f"/tasks/{before['id']}", json=TASK | {"repository": "no/such"})
    assert response.status_code == 422
    assert client.get(f"/tasks/{before['id']}").json == before


def test_put_needs_the_whole_task(client: FlaskClient) -> None:
    task = create(client)
    assert client.put(f"/tasks/{task['id']}", json={"title": "New"}).status_code == 422


def test_a_deleted_task_is_gone(client: FlaskClient) -> None:
    path = f"/tasks/{create(client)['id']}"
    other = create(client, title="Stays")
    response = client.delete(path)
    assert (response.status_code, response.data) == (204, b"")
    assert client.get(path).status_code == 404
    assert client.delete(path).status_code == 404
    assert client.get(f"/tasks/{other['id']}").json == other


def test_the_id_of_a_deleted_task_is_never_given_again(client: FlaskClient) -> None:
    task = create(client)
    client.delete(f"/tasks/{task['id']}")
    assert create(client)["id"] > task["id"]


def test_tasks_of_a_renamed_repository_get_its_new_name(
    client: FlaskClient, github: GitHub
) -> None:
    old, other = create(client, repository="git/git"), create(client)
    github.rename("git/git", "git-scm/git")
    github.repositories["git-scm/git"]["full_name"] = "git-scm/git"
    new = create(client, repository="git-scm/git")
    followed = client.get(f"/tasks/{old['id']}").get_json()
    assert new["repository"] == followed["repository"] == "git-scm/git"
    assert followed["repository_url"] == "https://github.com/git-scm/git"
    assert followed["version"] == 2
    assert client.get(f"/tasks/{other['id']}").json == other


def test_put_to_the_new_name_of_its_own_repository_is_one_change(
    client: FlaskClient, github: GitHub
) -> None:
    task = create(client, repository="git/git")
    github.rename("git/git", "git-scm/git")
    after = client.put(f"/tasks/{task['id']}", json=TASK | {"repository": "git-scm/git"})
    assert after.get_json()["repository"] == "git-scm/git"
    assert after.get_json()["version"] == 2


def test_a_path_with_a_slash_too_many_leads_to_the_one_without(client: FlaskClient) -> None:
    answer = client.get("/tasks//5?q=%C3%A9", headers={"Host": "LOCALHOST:8000"})
    assert answer.status_code == 308
    assert answer.headers["Location"] == "http://localhost:8000/tasks/5?q=%C3%A9"
