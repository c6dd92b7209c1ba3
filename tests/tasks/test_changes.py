"""The history of repositories: what GitHub's answers changed, and the stars of each day."""

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date, datetime, timedelta, timezone
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from helpers import next_url
from tracker import create_app
from tracker.config import Settings
from tracker.database.changes import Change, ChangeKind, StarCount, store_stars
from tracker.database.connection import connection, database
from tracker.demo.github import FAULTS, Fault, GitHub

TASK = {"title": "t", "repository": "pallets/flask"}
TIME = datetime(2030, 1, 1, tzinfo=timezone.utc)
FLASK_ID = 596892


def create(client: FlaskClient, repository: str = "pallets/flask") -> dict[str, Any]:
    response = client.post("/tasks?metadata=optional", json=TASK | {"repository": repository})
    assert response.status_code == 201
    return dict(response.get_json())


def refresh(client: FlaskClient, task: dict[str, Any]) -> dict[str, Any]:
    response = client.post(f"/tasks/{task['id']}/refresh")
    assert response.status_code == 200
    return dict(response.get_json())


def changes(client: FlaskClient, **query: Any) -> list[dict[str, Any]]:
    response = client.get("/changes", query_string=query)
    assert response.status_code == 200, response.json
    return list(response.get_json())


def kinds(client: FlaskClient, **query: Any) -> list[str]:
    return [change["kind"] for change in changes(client, **query)]


def stars(client: FlaskClient, name: str = "pallets/flask") -> list[dict[str, Any]]:
    response = client.get(f"/repositories/{name}/stars")
    assert response.status_code == 200
    return list(response.get_json())


@pytest.fixture
def elsewhere(settings: Settings, client: FlaskClient) -> FlaskClient:
    """A client of another process, with a cache of its own."""
    return create_app(settings).test_client()


@pytest.fixture
def record(app: Flask) -> Callable[..., None]:
    """Store a change without GitHub."""

    def record(kind: str = "archived", time: datetime = TIME, **values: Any) -> None:
        row = {"repository_id": FLASK_ID, "repository": "pallets/flask", "kind": kind}
        row |= {"before": False, "after": True, "seen_at": time, "previously_seen_at": TIME}
        with connection():
            Change.create(**row | values)

    return record


def test_the_first_metadata_are_no_change(client: FlaskClient, github: GitHub) -> None:
    github.fault = FAULTS["500"]
    pending = create(client)
    assert pending["metadata_status"] == "pending"
    github.fault = None
    create(client)
    refresh(client, pending)
    assert changes(client) == []


@pytest.mark.parametrize(
    ("kind", "member", "value", "before", "after"),
    [
        ("archived", "archived", True, False, True),
        ("license", "license", {"spdx_id": "MIT"}, "BSD-3-Clause", "MIT"),
        ("license", "license", None, "BSD-3-Clause", None),
        ("visibility", "visibility", "internal", "public", "internal"),
    ],
)
def test_a_change_is_written_once_for_all_tasks(
    client: FlaskClient, github: GitHub, kind: str, member: str, value: Any, before: Any, after: Any
) -> None:
    tasks = [create(client) for _ in range(3)]
    github.fault = Fault(changes={member: value, "stargazers_count": 7, "language": "C"})
    refreshed = refresh(client, tasks[0])
    (change,) = changes(client)
    assert change == {
        "id": change["id"],
        "repository": "pallets/flask",
        "kind": kind,
        "before": before,
        "after": after,
        "seen_at": refreshed["metadata_fetched_at"],
        "previously_seen_at": tasks[0]["metadata_fetched_at"],
    }
    refresh(client, tasks[1])
    assert len(changes(client)) == 1


def test_a_fact_that_github_does_not_tell_is_no_change(client: FlaskClient, github: GitHub) -> None:
    task = create(client)
    github.fault = Fault(missing="visibility")
    assert refresh(client, task)["visibility"] is None
    github.fault = None
    refresh(client, task)
    assert changes(client) == []


def test_a_repository_is_archived_and_unarchived(client: FlaskClient, github: GitHub) -> None:
    task = create(client)
    for archived in (True, False, True):
        github.repositories["pallets/flask"]["archived"] = archived
        refresh(client, task)
    assert kinds(client) == ["archived", "unarchived", "archived"]


def test_a_rename_is_written_once(
    client: FlaskClient, elsewhere: FlaskClient, github: GitHub
) -> None:
    tasks = [create(client) for _ in range(2)]
    github.rename("pallets/flask", "pallets-eco/flask")
    refresh(client, tasks[0])
    create(elsewhere)
    refresh(elsewhere, tasks[1])
    (change,) = changes(client)
    assert change["repository"] == "pallets-eco/flask"
    assert (change["kind"], change["before"]) == ("renamed", "pallets/flask")
    assert change["after"] == "pallets-eco/flask"


@pytest.mark.parametrize("fault", ["403-block", "404", "451"])
def test_a_repository_is_unavailable_and_available_again(
    client: FlaskClient, github: GitHub, fault: str
) -> None:
    tasks = [create(client) for _ in range(2)]
    github.fault = FAULTS[fault]
    for task in tasks:
        refresh(client, task)
    github.fault = None
    for task in tasks:
        refresh(client, task)
    available, unavailable = changes(client)
    assert (unavailable["kind"], available["kind"]) == ("unavailable", "available")
    assert (unavailable["before"], unavailable["after"]) == ("current", "unavailable")
    assert (available["before"], available["after"]) == ("unavailable", "current")
    assert available["previously_seen_at"] == unavailable["seen_at"]


@pytest.mark.parametrize("fault", ["500", "401", "no-stars", "429"])
def test_an_answer_that_is_no_fact_changes_nothing(
    client: FlaskClient, github: GitHub, fault: str
) -> None:
    task = create(client)
    github.fault = FAULTS[fault]
    assert client.post(f"/tasks/{task['id']}/refresh").status_code >= 500
    assert changes(client) == []


@pytest.mark.parametrize("use_case", ["put", "patch", "refresh"])
def test_a_repository_created_anew_is_available(
    client: FlaskClient, github: GitHub, use_case: str
) -> None:
    path = f"/tasks/{create(client)['id']}"
    gone = github.repositories.pop("pallets/flask")
    client.post(f"{path}/refresh")
    github.repositories["pallets/flask"] = {**gone, "id": 4242, "license": "MIT"}
    if use_case == "refresh":
        client.post(f"{path}/refresh")
    else:
        client.open(path, method=use_case, json=TASK)
    assert kinds(client) == ["license", "available", "unavailable"]
    assert kinds(client, repository="pallets/flask", kind="license") == ["license"]


def test_a_creation_that_learns_something_new_writes_it(
    client: FlaskClient, elsewhere: FlaskClient, github: GitHub
) -> None:
    old = create(client)
    github.repositories["pallets/flask"]["archived"] = True
    new = create(elsewhere)
    (change,) = changes(client)
    assert (change["kind"], change["seen_at"]) == ("archived", new["metadata_fetched_at"])
    assert refresh(client, old)["archived"] is True
    assert len(changes(client)) == 1


def test_an_older_cached_answer_is_no_change(
    client: FlaskClient, elsewhere: FlaskClient, github: GitHub
) -> None:
    task = create(client)
    deleted = create(elsewhere)
    github.repositories["pallets/flask"]["archived"] = True
    refresh(client, task)
    create(client)
    github.fault = FAULTS["404"]
    refresh(client, task)
    assert client.delete(f"/tasks/{deleted['id']}").status_code == 204
    assert create(elsewhere)["archived"] is False
    assert kinds(client) == ["unavailable", "archived"]


def test_a_deleted_task_does_not_undo_its_change(
    client: FlaskClient, elsewhere: FlaskClient, github: GitHub
) -> None:
    task = create(client)
    github.repositories["pallets/flask"]["archived"] = True
    client.delete(f"/tasks/{create(elsewhere)['id']}")
    refresh(client, task)
    assert kinds(client) == ["archived"]


@pytest.fixture
def slow_history(app: Flask) -> Iterator[None]:
    """Let each change take a while to be stored, so that concurrent requests meet."""
    with connection():
        database.execute_sql(
            "CREATE FUNCTION wait() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN PERFORM pg_sleep(0.1); RETURN NEW; END'"
        )
        database.execute_sql(
            "CREATE TRIGGER wait BEFORE INSERT ON changes FOR EACH ROW EXECUTE FUNCTION wait()"
        )
    yield
    with connection():
        database.execute_sql("DROP TRIGGER wait ON changes")
        database.execute_sql("DROP FUNCTION wait")


def test_concurrent_workers_write_a_change_once(
    settings: Settings, client: FlaskClient, github: GitHub, slow_history: None
) -> None:
    tasks = [create(client) for _ in range(8)]
    github.repositories["pallets/flask"] |= {"archived": True, "license": None}
    workers = [create_app(settings).test_client() for _ in range(4)]

    def send(number: int) -> int:
        worker = workers[number % 4]
        if number % 2:
            return worker.post("/tasks", json=TASK).status_code
        return worker.post(f"/tasks/{tasks[number % 8]['id']}/refresh").status_code

    with ThreadPoolExecutor(4) as pool:
        assert set(pool.map(send, range(24))) == {200, 201}
    assert kinds(client) == ["license", "archived"]


def test_the_history_stays_when_the_last_task_is_deleted(
    client: FlaskClient, github: GitHub
) -> None:
    task = create(client)
    github.repositories["pallets/flask"]["archived"] = True
    refresh(client, task)
    before = changes(client), stars(client)
    client.delete(f"/tasks/{task['id']}")
    assert (changes(client, repository="pallets/flask"), stars(client)) == before


def test_a_former_name_finds_the_changes(client: FlaskClient, github: GitHub) -> None:
    task = create(client)
    github.repositories["pallets/flask"]["archived"] = True
    refresh(client, task)
    github.rename("pallets/flask", "pallets-eco/flask")
    refresh(client, task)
    for name in ("Pallets/Flask", "https://github.com/pallets-eco/flask"):
        assert kinds(client, repository=name) == ["renamed", "archived"]
    assert changes(client, repository="git/git") == []
    del github.renamed["pallets/flask"]
    usurper = {**github.repositories["git/git"], "id": 77, "full_name": "pallets/flask"}
    github.repositories["pallets/flask"] = usurper
    create(create_app(client.application.config["SETTINGS"]).test_client())
    assert changes(client, repository="pallets/flask") == []


def test_the_changes_are_selected_by_kind_and_time(
    client: FlaskClient, record: Callable[..., None]
) -> None:
    for number, kind in enumerate(ChangeKind):
        record(kind.value, TIME + timedelta(days=number))
    assert kinds(client) == [kind.value for kind in reversed(ChangeKind)]
    assert kinds(client, kind=["archived", "renamed"]) == ["archived", "renamed"]
    assert kinds(client, since="2030-01-06T00:00:00Z") == ["visibility", "license"]
    assert kinds(client, since="2030-01-06T00:00:00.001Z", kind="license") == []


@pytest.mark.parametrize("limit", [1, 4, 25])
def test_the_pages_have_each_change_once(
    client: FlaskClient, record: Callable[..., None], limit: int
) -> None:
    for number in range(25):
        record(time=TIME + timedelta(seconds=number // 10))
    found: list[int] = []
    url: str | None = f"/changes?limit={limit}&kind=archived"
    while url:
        response = client.get(url)
        found += [change["id"] for change in response.get_json()]
        record(time=TIME + timedelta(days=1))  # one that is newer than the page
        url = next_url(response)
    assert len(found) == 25
    assert found == sorted(found, reverse=True)


@pytest.mark.parametrize(
    "query",
    ["kind=lost", "since=yesterday", "repository=flask", "limit=0", "cursor=x", "sort=kind"],
)
def test_an_invalid_parameter_of_the_changes_is_422(client: FlaskClient, query: str) -> None:
    response = client.get(f"/changes?{query}")
    assert response.status_code == 422
    ((name, messages),) = response.get_json()["errors"]["query"].items()
    assert (name, type(messages)) == (query.partition("=")[0], list)


def test_a_day_has_its_last_number_of_stars(client: FlaskClient, github: GitHub) -> None:
    task = create(client)
    for number in (70_001, 69_999):
        github.repositories["pallets/flask"]["stars"] = number
        task = refresh(client, task)
    today = task["metadata_fetched_at"][:10]
    assert stars(client) == [{"date": today, "stars": 69_999}]
    now = datetime.fromisoformat(task["metadata_fetched_at"].replace("Z", "+00:00"))
    with connection():
        store_stars(FLASK_ID, "pallets/flask", 5, now - timedelta(microseconds=1))
        store_stars(FLASK_ID, "pallets/flask", 6, now - timedelta(days=1))
    yesterday = (date.fromisoformat(today) - timedelta(days=1)).isoformat()
    assert stars(client, "PALLETS/flask") == [
        {"date": yesterday, "stars": 6},
        {"date": today, "stars": 69_999},
    ]


def test_a_creation_writes_the_stars_of_the_day(client: FlaskClient, github: GitHub) -> None:
    create(client)
    create(client, "docker/docker")
    assert [row["stars"] for row in stars(client)] == [70_000]
    assert stars(client, "docker/docker") == stars(client, "moby/moby")
    with connection():
        assert StarCount.select().count() == 2


def test_a_pending_repository_has_no_stars_yet(client: FlaskClient, github: GitHub) -> None:
    github.fault = FAULTS["500"]
    create(client)
    assert stars(client) == []


@pytest.mark.parametrize("name", ["nobody/nothing", "a/..", "a%00/b", "%ff/b", "a/" + "b" * 101])
def test_the_stars_of_an_unknown_repository_are_404(client: FlaskClient, name: str) -> None:
    response = client.get(f"/repositories/{name}/stars")
    assert response.status_code == 404
    assert json.loads(response.text)["reason"] == "no_tasks_on_repository"
