"""Metadata that come late, or again."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tracker import create_app
from tracker.config import Settings
from tracker.database.connection import borrowed
from tracker.database.models import Task
from tracker.demo.github import FAULTS, GitHub

TASK = {"title": "Read the docs", "repository": "pallets/flask", "tags": ["mine"]}
METADATA = (
    *("repository", "repository_url", "repository_description", "stars", "language", "archived"),
    *("pushed_at", "metadata_status", "metadata_fetched_at"),
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, github_timeout=0.5)


def test_refresh_brings_what_github_says_now_to_every_task_on_the_repository(
    client: FlaskClient, github: GitHub
) -> None:
    first, second = (client.post("/tasks", json=TASK).get_json() for _ in range(2))
    other = client.post("/tasks", json=TASK | {"repository": "git/git"}).get_json()
    flask = github.repositories["pallets/flask"]
    flask |= {"stars": 70001, "description": None, "archived": True, "language": "Rust"}
    response = client.post(f"/tasks/{first['id']}/refresh")
    assert response.status_code == 200
    after = response.get_json()
    assert response.headers["ETag"] == '"2"'
    assert after["metadata_fetched_at"] > first["metadata_fetched_at"]
    assert after == first | {
        "stars": 70001,
        "repository_description": None,
        "archived": True,
        "language": "Rust",
        "metadata_fetched_at": after["metadata_fetched_at"],
        "updated_at": after["updated_at"],
        "version": 2,
    }
    again = client.get(f"/tasks/{second['id']}").get_json()
    assert [again[name] for name in METADATA] == [after[name] for name in METADATA]
    assert client.get(f"/tasks/{other['id']}").get_json() == other


def test_refresh_asks_with_the_etag_and_moves_the_time_of_confirmation(
    client: FlaskClient, github: GitHub
) -> None:
    task = client.post("/tasks", json=TASK).get_json()
    for _ in range(2):
        after = client.post(f"/tasks/{task['id']}/refresh").get_json()
        assert after["metadata_fetched_at"] > task["metadata_fetched_at"]
        task = after
    assert [call.status for call in github.calls] == [200, 304, 304]


def test_refresh_follows_a_rename_for_every_task(client: FlaskClient, github: GitHub) -> None:
    tasks = [client.post("/tasks", json=TASK).get_json() for _ in range(2)]
    github.rename("pallets/flask", "pallets-eco/flask")
    after = client.post(f"/tasks/{tasks[0]['id']}/refresh").get_json()
    assert after["repository"] == "pallets-eco/flask"
    later = client.post("/tasks", json=TASK).get_json()
    rows = [client.get(f"/tasks/{task['id']}").get_json() for task in tasks]
    assert {row["repository"] for row in [*rows, later]} == {"pallets-eco/flask"}
    assert {row["repository_url"] for row in rows} == {"https://github.com/pallets-eco/flask"}


def test_a_refreshed_repository_is_found_by_its_id_when_its_name_is_taken(
    client: FlaskClient, github: GitHub
) -> None:
    task = client.post("/tasks", json=TASK).get_json()
    github.rename("pallets/flask", "pallets-eco/flask")
    usurper = {**github.repositories["git/git"], "id": 7, "full_name": "pallets/flask", "stars": 1}
    github.repositories["pallets/flask"] = usurper
    after = client.post(f"/tasks/{task['id']}/refresh").get_json()
    assert (after["repository"], after["stars"]) == ("pallets-eco/flask", 70000)
    assert client.post("/tasks", json=TASK).get_json()["stars"] == 1


def test_a_create_after_a_refresh_has_the_same_metadata_and_asks_nothing(
    client: FlaskClient, github: GitHub
) -> None:
    task = client.post("/tasks", json=TASK).get_json()
    github.repositories["pallets/flask"]["stars"] = 70001
    after = client.post(f"/tasks/{task['id']}/refresh").get_json()
    calls = len(github.calls)
    new = client.post("/tasks", json=TASK).get_json()
    assert [new[name] for name in METADATA] == [after[name] for name in METADATA]
    assert len(github.calls) == calls


@pytest.mark.parametrize("fault", ["403", "404", "451"])
def test_a_repository_that_is_gone_keeps_its_metadata_and_is_unavailable(
    client: FlaskClient, github: GitHub, fault: str
) -> None:
    first, second = (client.post("/tasks", json=TASK).get_json() for _ in range(2))
    github.fault = FAULTS[fault]
    response = client.post(f"/tasks/{first['id']}/refresh")
    assert response.status_code == 200
    after = response.get_json()
    changed = {"metadata_status": "unavailable", "version": 2, "updated_at": after["updated_at"]}
    assert after == first | changed
    assert client.get(f"/tasks/{second['id']}").get_json()["metadata_status"] == "unavailable"
    github.fault = None
    assert client.post(f"/tasks/{first['id']}/refresh").get_json()["metadata_status"] == "current"


@pytest.mark.parametrize(
    ("fault", "status"),
    [("500", 502), ("401", 502), ("no-stars", 502), ("429", 503), ("silent", 504)],
)
def test_a_refresh_that_github_can_not_answer_changes_nothing(
    client: FlaskClient, github: GitHub, fault: str, status: int
) -> None:
    task = client.post("/tasks", json=TASK).get_json()
    github.fault = FAULTS[fault]
    assert client.post(f"/tasks/{task['id']}/refresh").status_code == status
    assert client.get(f"/tasks/{task['id']}").get_json() == task


def test_a_refresh_of_no_task_is_404(client: FlaskClient, github: GitHub) -> None:
    assert client.post("/tasks/1/refresh").status_code == 404
    assert github.calls == []


@pytest.mark.parametrize("fault", ["500", "401", "html", "429", "403-limit", "silent", "closed"])
def test_a_task_without_its_metadata_is_pending_if_they_are_optional(
    client: FlaskClient, github: GitHub, fault: str
) -> None:
    github.fault = FAULTS[fault]
    response = client.post("/tasks?metadata=optional", json=TASK | {"repository": "Pallets/flask"})
    assert response.status_code == 201
    task = response.get_json()
    assert (task["metadata_status"], task["repository"]) == ("pending", "Pallets/flask")
    assert [task[name] for name in METADATA[1:-2]] == [None] * 6
    assert task["metadata_fetched_at"] is None


@pytest.mark.parametrize("fault", ["404", "403", "451"])
def test_a_repository_that_does_not_exist_is_refused_even_so(
    client: FlaskClient, github: GitHub, fault: str
) -> None:
    github.fault = FAULTS[fault]
    assert client.post("/tasks?metadata=optional", json=TASK).status_code == 422


def test_metadata_that_github_has_are_fetched_even_so(client: FlaskClient) -> None:
    task = client.post("/tasks?metadata=optional", json=TASK).get_json()
    assert task["metadata_status"] == "current"


@pytest.mark.parametrize("query", ["metadata=maybe", "metadata=", "meta=optional"])
def test_an_unknown_way_to_create_is_422(client: FlaskClient, query: str) -> None:
    response = client.post(f"/tasks?{query}", json=TASK)
    assert response.status_code == 422
    assert list(response.get_json()["errors"]) == ["query"]


def test_a_refresh_completes_all_pending_tasks_on_the_repository(
    client: FlaskClient, github: GitHub
) -> None:
    github.fault = FAULTS["500"]
    pending = [
        client.post("/tasks?metadata=optional", json=TASK | {"repository": name}).get_json()
        for name in ("pallets/flask", "PALLETS/Flask", "git/git")
    ]
    github.fault = None
    after = client.post(f"/tasks/{pending[0]['id']}/refresh").get_json()
    assert (after["metadata_status"], after["stars"]) == ("current", 70000)
    rows = [client.get(f"/tasks/{task['id']}").get_json() for task in pending]
    assert [row["repository"] for row in rows] == ["pallets/flask", "pallets/flask", "git/git"]
    assert [row["metadata_status"] for row in rows] == ["current", "current", "pending"]


def test_a_pending_task_can_be_edited_without_github(client: FlaskClient, github: GitHub) -> None:
    github.fault = FAULTS["500"]
    task = client.post("/tasks?metadata=optional", json=TASK).get_json()
    after = client.patch(f"/tasks/{task['id']}", json={"title": "New"})
    assert after.get_json()["title"] == "New"


def test_an_older_cached_answer_does_not_take_a_new_name_back(
    settings: Settings, client: FlaskClient, github: GitHub
) -> None:
    task = client.post("/tasks", json=TASK).get_json()
    elsewhere = create_app(settings).test_client()  # as another process with a cache of its own
    elsewhere.post("/tasks", json=TASK)
    github.rename("pallets/flask", "pallets-eco/flask")
    client.post(f"/tasks/{task['id']}/refresh")
    elsewhere.post("/tasks", json=TASK)
    with borrowed():
        assert Task.get_by_id(task["id"]).repository == "pallets-eco/flask"


def test_refreshes_and_creations_on_one_repository_at_once_all_get_an_answer(
    app: Flask, client: FlaskClient, github: GitHub
) -> None:
    tasks = [client.post("/tasks", json=TASK).get_json()["id"] for _ in range(20)]

    def ask(number: int) -> int:
        if number % 3 == 0:
            return app.test_client().post("/tasks", json=TASK).status_code
        return app.test_client().post(f"/tasks/{tasks[number % 20]}/refresh").status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(ask, range(60))) == {200, 201}
    after = client.post(f"/tasks/{tasks[0]}/refresh").get_json()
    rows = client.get("/tasks?limit=100").get_json()
    assert {row["metadata_fetched_at"] for row in rows} == {after["metadata_fetched_at"]}
