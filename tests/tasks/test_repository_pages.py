"""The list of repositories, one repository, and its refresh."""

import random
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from itertools import product
from typing import Any

import pytest
from flask.testing import FlaskClient

from helpers import next_url
from tracker.demo.github import FAULTS, GitHub
from tracker.tasks import repository_order

START = datetime(2026, 1, 1, tzinfo=timezone.utc)
NAMES = ["a/one", "A/Two", "a/three", "b/one"]
FILTERS: list[dict[str, Any]] = [
    {},
    {"archived": "true"},
    {"archived": "false", "language": ["Go", "python"]},
    {"language": "C"},
    {"metadata_status": "pending"},
    {"metadata_status": ["current", "unavailable"]},
    {"fetched_before": "2026-01-03T00:00:00Z"},
    {"pushed_before": "2026-01-02T00:00:00Z"},
]


def facts(choose: random.Random) -> dict[str, Any]:
    """Return a task's columns, of which tasks on one repository may have different ones."""
    name = choose.choice(NAMES)
    spelled = choose.choice([name, name.upper()])
    if choose.random() < 0.25:
        state = choose.choice(["pending", "unavailable"])
        return {"repository": spelled, "metadata_status": state}
    return {
        "repository": spelled,
        "repository_id": choose.choice([1, 2, 3, 4, 5]),
        "repository_url": "https://github.com/a/b",
        "stars": choose.choice([0, 7, 7, 9]),
        "archived": choose.random() < 0.5,
        "language": choose.choice(["Go", "Python", None]),
        "pushed_at": choose.choice([None, START, START + timedelta(days=choose.randrange(3))]),
        "metadata_status": choose.choice(["current", "current", "unavailable"]),
        "metadata_fetched_at": START + timedelta(hours=choose.randrange(100)),
        "status": choose.choice(["open", "in_progress", "done"]),
    }


def expected(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the repositories of the tasks, as the documentation defines them."""
    rows = [{"id": number, "repository_id": None, **row} for number, row in enumerate(rows)]
    speakers: dict[Any, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda r: (r.get("metadata_fetched_at", START), r["id"])):
        if row["repository_id"]:
            speakers[row["repository_id"]] = row
    owners: dict[str, Any] = {}
    for number, row in sorted(
        speakers.items(), key=lambda item: (item[1]["metadata_fetched_at"], item[0])
    ):
        owners[row["repository"].lower()] = number
    members: dict[Any, list[dict[str, Any]]] = {}
    for row in rows:
        name = row["repository"].lower()
        members.setdefault(row["repository_id"] or owners.get(name, name), []).append(row)
    return [
        {
            **speakers.get(key, own[-1]),
            "key": key,
            "tasks": {
                status: sum(row.get("status", "open") == status for row in own)
                for status in ("open", "in_progress", "done")
            },
        }
        for key, own in members.items()
    ]


def selects(row: dict[str, Any], query: dict[str, Any]) -> bool:
    def before(field: str, name: str) -> bool:
        limit = datetime.fromisoformat(query[name].replace("Z", "+00:00"))
        return bool((row.get(field) or limit) < limit)

    found: dict[str, Callable[[], bool]] = {
        "archived": lambda: row.get("archived") == (query["archived"] == "true"),
        "language": lambda: (row.get("language") or "-").lower() in str(query["language"]).lower(),
        "metadata_status": lambda: row["metadata_status"] in query["metadata_status"],
        "fetched_before": lambda: before("metadata_fetched_at", "fetched_before"),
        "pushed_before": lambda: before("pushed_at", "pushed_before"),
    }
    return all(found[name]() for name in query)


def in_order(rows: list[dict[str, Any]], sort: str) -> list[dict[str, Any]]:
    name, descending = sort.lstrip("-"), sort.startswith("-")

    def key(row: dict[str, Any]) -> Any:
        if name == "name":
            return row["repository"].lower(), row["repository_id"] or 0
        return row[name], row["repository_id"]

    def null(row: dict[str, Any]) -> bool:
        return name != "name" and row.get(name) is None

    first = sorted((row for row in rows if not null(row)), key=key, reverse=descending)
    later = [row for row in rows if null(row) and row["repository_id"]]
    last = [row for row in rows if null(row) and not row["repository_id"]]
    later.sort(key=lambda row: row["repository_id"], reverse=descending)
    last.sort(key=lambda row: row["repository"].lower(), reverse=descending)
    return first + later + last


def pages(client: FlaskClient, query: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the repositories on all pages, by their links."""
    found: list[dict[str, Any]] = []
    response = client.get("/repositories", query_string=query)
    while True:
        assert response.status_code == 200, response.text
        found += response.get_json()
        url = next_url(response)
        if url is None:
            return found
        response = client.get(url)


@pytest.mark.parametrize(("seed", "rare_max"), [(1, 0), (2, 3), (3, 10_000)])
def test_pages_show_each_repository_once_in_order(
    add: Callable[..., int],
    client: FlaskClient,
    monkeypatch: pytest.MonkeyPatch,
    seed: int,
    rare_max: int,
) -> None:
    monkeypatch.setattr(repository_order, "MATCHES_MAX", rare_max)
    choose = random.Random(seed)
    rows = [facts(choose) for _ in range(30)]
    for row in rows:
        add(**row)
    repositories = expected(rows)
    sorts = [
        s + n for n in ("name", "stars", "pushed_at", "metadata_fetched_at") for s in ("", "-")
    ]
    for query, sort in product(FILTERS, sorts):
        wanted = in_order([row for row in repositories if selects(row, query)], sort)
        found = pages(client, {**query, "sort": sort, "limit": choose.choice([1, 2, 3])})
        assert [(row["name"], row["tasks"]) for row in found] == [
            (row["repository"], row["tasks"]) for row in wanted
        ], (query, sort)
    assert sum(sum(row["tasks"].values()) for row in pages(client, {})) == len(rows)


def test_many_older_facts_hide_no_repository(add: Callable[..., int], client: FlaskClient) -> None:
    choose = random.Random(1)
    common = facts(choose) | {
        "repository_id": 1,
        "repository": "a/one",
        "metadata_status": "current",
    }
    for stars in range(40):
        add(**common | {"stars": stars, "metadata_fetched_at": START - timedelta(hours=stars)})
    add(**common | {"repository_id": 2, "repository": "b/one", "stars": 5})
    found = pages(client, {"sort": "-stars", "limit": 1})
    assert [(row["name"], row["stars"]) for row in found] == [("b/one", 5), ("a/one", 0)]


def test_a_repository_has_its_newest_facts_and_its_tasks(client: FlaskClient) -> None:
    for status in ("open", "done", "done"):
        body = {"title": "t", "repository": "pallets/flask", "status": status}
        task = client.post("/tasks", json=body).get_json()
    repository = client.get("/repositories/PALLETS/flask").get_json()
    assert list(repository)[:3] == ["name", "url", "description"]
    assert repository["tasks"] == {"open": 1, "in_progress": 0, "done": 2}
    assert repository["metadata_fetched_at"] == task["metadata_fetched_at"]
    assert repository["pushed_at"] == task["pushed_at"]
    assert client.get("/repositories").get_json() == [repository]


def test_a_repository_is_found_by_a_former_name(client: FlaskClient, github: GitHub) -> None:
    client.post("/tasks", json={"title": "t", "repository": "docker/docker"})
    assert client.get("/repositories/docker/docker").get_json()["name"] == "moby/moby"
    github.rename("moby/moby", "moby/whale")
    refreshed = client.post("/repositories/docker/docker/refresh").get_json()
    assert refreshed["name"] == "moby/whale"
    assert client.get("/repositories/moby/moby").get_json() == refreshed


@pytest.mark.parametrize("name", ["psf/requests", "a/b%00c", "a/%F0%9F%9A%80", "-/.."])
@pytest.mark.parametrize("path", ["/repositories/{}", "/repositories/{}/refresh"])
def test_a_repository_without_tasks_is_404(
    client: FlaskClient, github: GitHub, name: str, path: str
) -> None:
    method = "POST" if path.endswith("refresh") else "GET"
    response = client.open(path.format(name), method=method)
    assert (response.status_code, response.get_json()["reason"]) == (404, "no_tasks_on_repository")
    assert github.calls == []


def test_a_refresh_completes_pending_tasks(client: FlaskClient, github: GitHub) -> None:
    github.fault = FAULTS["500"]
    body = {"title": "t", "repository": "pallets/Flask"}
    task = client.post("/tasks?metadata=optional", json=body).get_json()
    pending = client.get("/repositories/pallets/flask").get_json()
    assert (pending["name"], pending["metadata_status"]) == ("pallets/Flask", "pending")
    assert client.post("/repositories/pallets/flask/refresh").status_code == 502
    github.fault = None
    current = client.post("/repositories/pallets/flask/refresh").get_json()
    assert (current["name"], current["stars"]) == ("pallets/flask", 70000)
    assert client.get(f"/tasks/{task['id']}").get_json()["stars"] == 70000


def test_a_refresh_of_a_gone_repository_keeps_its_facts(
    client: FlaskClient, github: GitHub
) -> None:
    client.post("/tasks", json={"title": "t", "repository": "psf/requests"})
    before = client.get("/repositories/psf/requests").get_json()
    del github.repositories["psf/requests"]
    after = client.post("/repositories/psf/requests/refresh").get_json()
    assert after == before | {"metadata_status": "unavailable"}


@pytest.mark.parametrize(
    "query",
    [
        "sort=created_at",
        "limit=0",
        "limit=101",
        "total=true",
        "q=x",
        "archived=maybe",
        "fetched_before=today",
        "cursor=x",
        "sort=stars&cursor=WyJzdGFycyIsLTEsMSwiIl0",
        "sort=stars&cursor=WyItc3RhcnMiLDg5MDAwLDJd",
        "sort=name&cursor=WyJuYW1lIixudWxsLDEsIiJd",
    ],
)
def test_a_wrong_query_is_422(client: FlaskClient, query: str) -> None:
    assert client.get(f"/repositories?{query}").status_code == 422


def test_a_restored_repository_is_listed_by_its_facts(client: FlaskClient) -> None:
    created = client.post("/tasks", json={"title": "t", "repository": "pallets/flask"})
    client.post("/tasks", json={"title": "t", "repository": "git/git"})
    tasks = client.get("/tasks/export").get_data()
    before = client.get("/repositories/pallets/flask").get_json()
    assert client.delete("/tasks?status=open").get_json()["changed"] == 2
    restored = client.post("/tasks/import?restore=true", data=tasks)
    assert restored.get_json().get("created") == 2, restored.text
    assert client.post("/tasks/import", data="pallets/flask").get_json()["created"] == 1
    after = client.get("/repositories/pallets/flask").get_json()
    assert after == before | {"tasks": before["tasks"] | {"open": 2}}
    found = client.get("/repositories?language=python&metadata_status=current").get_json()
    assert found == [after]
    fetched_at = created.get_json()["metadata_fetched_at"]
    assert client.get(f"/repositories?fetched_before={fetched_at}").get_json() == []
    stale = client.get("/repositories?fetched_before=2090-01-01T00:00:00Z").get_json()
    assert [row["name"] for row in stale] == ["git/git", "pallets/flask"]
