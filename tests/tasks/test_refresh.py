"""Metadata that arrive after their task, or again."""

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tracker import create_app
from tracker.config import Settings
from tracker.demo.github import FAULTS, GitHub

TASK = {"title": "Read the docs", "repository": "pallets/flask", "tags": ["mine"]}
METADATA = (
    *("repository", "repository_url", "repository_description", "stars", "language", "archived"),
    *("pushed_at", "topics", "license", "homepage", "fork", "visibility"),
    *("metadata_status", "metadata_fetched_at"),
)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return dataclasses.replace(settings, github_timeout=0.5)


def create(client: FlaskClient, repository: str = "pallets/flask") -> dict[str, Any]:
    response = client.post("/tasks?metadata=optional", json=TASK | {"repository": repository})
    assert response.status_code == 201
    return dict(response.get_json())


def read(client: FlaskClient, task: dict[str, Any]) -> dict[str, Any]:
    return dict(client.get(f"/tasks/{task['id']}").get_json())


def refresh(client: FlaskClient, task: dict[str, Any]) -> dict[str, Any]:
    response = client.post(f"/tasks/{task['id']}/refresh")
    assert response.status_code == 200
    return dict(response.get_json())


def metadata(task: dict[str, Any]) -> list[Any]:
    return [task[name] for name in METADATA]


def test_refresh_updates_every_task_on_the_repository(client: FlaskClient, github: GitHub) -> None:
    first, second, other = create(client), create(client), create(client, "git/git")
    flask = github.repositories["pallets/flask"]
    flask |= {"stars": 70001, "description": None, "archived": True, "topics": ["web"]}
    response = client.post(f"/tasks/{first['id']}/refresh")
    assert response.status_code == 200
    after = response.get_json()
    assert response.headers["ETag"] == '"2"'
    assert after["metadata_fetched_at"] > first["metadata_fetched_at"]
    assert after == first | {
        "stars": 70001,
        "repository_description": None,
        "archived": True,
        "topics": ["web"],
        "metadata_fetched_at": after["metadata_fetched_at"],
        "updated_at": after["updated_at"],
        "version": 2,
    }
    assert metadata(read(client, second)) == metadata(after)
    assert read(client, other) == other


def test_a_refresh_sends_no_etag_to_github(client: FlaskClient, github: GitHub) -> None:
    task = create(client)
    refresh(client, task)
    assert [call.status for call in github.calls] == [200, 200]
    assert "If-None-Match" not in github.calls[1].headers


def test_a_refresh_without_news_changes_no_version(client: FlaskClient) -> None:
    tasks = [create(client) for _ in range(5)]
    after = refresh(client, tasks[0])
    assert after["metadata_fetched_at"] > tasks[0]["metadata_fetched_at"]
    fetched = {"metadata_fetched_at": after["metadata_fetched_at"]}
    assert [read(client, task) for task in tasks] == [task | fetched for task in tasks]


def test_one_new_star_is_one_new_version_of_each_task(client: FlaskClient, github: GitHub) -> None:
    tasks = [create(client) for _ in range(5)]
    github.repositories["pallets/flask"]["stars"] += 1
    for _ in range(2):
        after = refresh(client, tasks[0])
        assert [read(client, task)["version"] for task in tasks] == [2] * 5
        assert {read(client, task)["stars"] for task in tasks} == {after["stars"]}
    assert after["stars"] == tasks[0]["stars"] + 1


def test_refresh_follows_a_rename_for_every_task(client: FlaskClient, github: GitHub) -> None:
    tasks = [create(client) for _ in range(2)]
    github.rename("pallets/flask", "pallets-eco/flask")
    assert refresh(client, tasks[0])["repository"] == "pallets-eco/flask"
    tasks = [create(client), *(read(client, task) for task in tasks)]
    assert {task["repository"] for task in tasks} == {"pallets-eco/flask"}
    assert {task["repository_url"] for task in tasks} == {"https://github.com/pallets-eco/flask"}


def test_refresh_finds_a_repository_whose_name_another_has_taken(
    client: FlaskClient, github: GitHub
) -> None:
    task = create(client)
    github.rename("pallets/flask", "pallets-eco/flask")
    usurper = {**github.repositories["git/git"], "id": 7, "full_name": "pallets/flask", "stars": 1}
    github.repositories["pallets/flask"] = usurper
    after = refresh(client, task)
    assert (after["repository"], after["stars"]) == ("pallets-eco/flask", 70000)
    assert create(client)["stars"] == 1


def test_a_creation_after_a_refresh_uses_its_response(client: FlaskClient, github: GitHub) -> None:
    task = create(client)
    github.repositories["pallets/flask"]["stars"] = 70001
    after = refresh(client, task)
    calls = len(github.calls)
    assert metadata(create(client)) == metadata(after)
    assert len(github.calls) == calls


@pytest.mark.parametrize("fault", ["403", "404", "451"])
def test_tasks_of_a_vanished_repository_become_unavailable_once(
    client: FlaskClient, github: GitHub, fault: str
) -> None:
    first, second = create(client), create(client)
    github.fault = FAULTS[fault]
    after = refresh(client, first)
    changed = {"metadata_status": "unavailable", "version": 2, "updated_at": after["updated_at"]}
    assert after == first | changed
    assert read(client, second)["metadata_status"] == "unavailable"
    assert refresh(client, second) == read(client, second)
    assert read(client, first) == after
    github.fault = None
    assert refresh(client, first)["metadata_status"] == "current"


@pytest.mark.parametrize(
    ("fault", "status"),
    [("500", 502), ("401", 502), ("no-stars", 502), ("429", 503), ("silent", 504)],
)
def test_a_refresh_that_fails_changes_nothing(
    client: FlaskClient, github: GitHub, fault: str, status: int
) -> None:
    task = create(client)
    github.fault = FAULTS[fault]
    assert client.post(f"/tasks/{task['id']}/refresh").status_code == status
    assert read(client, task) == task


def test_a_refresh_of_no_task_is_404(client: FlaskClient, github: GitHub) -> None:
    assert client.post("/tasks/1/refresh").status_code == 404
    assert github.calls == []


@pytest.mark.parametrize("fault", ["500", "401", "html", "429", "403-limit", "silent", "closed"])
def test_optional_metadata_that_github_cannot_send_are_pending(
    client: FlaskClient, github: GitHub, fault: str
) -> None:
    github.fault = FAULTS[fault]
    task = create(client, "Pallets/flask")
    assert metadata(task) == ["Pallets/flask", *[None] * 11, "pending", None]


@pytest.mark.parametrize("fault", ["404", "403", "451"])
def test_optional_metadata_need_a_repository_that_exists(
    client: FlaskClient, github: GitHub, fault: str
) -> None:
    github.fault = FAULTS[fault]
    assert client.post("/tasks?metadata=optional", json=TASK).status_code == 422


def test_optional_metadata_are_fetched_where_github_has_them(client: FlaskClient) -> None:
    assert create(client)["metadata_status"] == "current"


@pytest.mark.parametrize("query", ["metadata=maybe", "metadata=", "meta=optional"])
def test_an_unknown_option_of_a_creation_is_422(client: FlaskClient, query: str) -> None:
    response = client.post(f"/tasks?{query}", json=TASK)
    assert response.status_code == 422
    assert list(response.get_json()["errors"]) == ["query"]


def test_refresh_completes_all_pending_tasks_on_the_repository(
    client: FlaskClient, github: GitHub
) -> None:
    github.fault = FAULTS["500"]
    pending = [create(client, name) for name in ("pallets/flask", "PALLETS/Flask", "git/git")]
    github.fault = None
    after = refresh(client, pending[0])
    assert (after["metadata_status"], after["stars"]) == ("current", 70000)
    tasks = [read(client, task) for task in pending]
    assert [task["repository"] for task in tasks] == ["pallets/flask", "pallets/flask", "git/git"]
    assert [task["metadata_status"] for task in tasks] == ["current", "current", "pending"]


def test_a_pending_task_can_be_edited_without_github(client: FlaskClient, github: GitHub) -> None:
    github.fault = FAULTS["500"]
    task = create(client)
    after = client.patch(f"/tasks/{task['id']}", json={"title": "New"})
    assert after.get_json()["title"] == "New"


def test_an_older_cached_response_does_not_undo_a_rename(
    settings: Settings, client: FlaskClient, github: GitHub
) -> None:
    task = create(client)
    elsewhere = create_app(settings).test_client()  # a process with a cache of its own
    create(elsewhere)
    github.rename("pallets/flask", "pallets-eco/flask")
    refresh(client, task)
    create(elsewhere)
    assert read(client, task)["repository"] == "pallets-eco/flask"


def test_concurrent_refreshes_and_creations_all_succeed(
    app: Flask, client: FlaskClient, github: GitHub
) -> None:
    tasks = [create(client)["id"] for _ in range(20)]

    def send(number: int) -> int:
        if number % 3 == 0:
            return app.test_client().post("/tasks", json=TASK).status_code
        return app.test_client().post(f"/tasks/{tasks[number % 20]}/refresh").status_code

    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(send, range(60))) == {200, 201}
    after = client.post(f"/tasks/{tasks[0]}/refresh").get_json()
    rows = client.get("/tasks?limit=100").get_json()
    assert {row["metadata_fetched_at"] for row in rows} == {after["metadata_fetched_at"]}
