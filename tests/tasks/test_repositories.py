"""GitHub's facts in a task, and repositories that are renamed, deleted or created anew."""

from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from tracker import create_app
from tracker.config import Settings
from tracker.demo.github import Fault, GitHub


def create(client: FlaskClient, repository: str, **fields: Any) -> Any:
    response = client.post("/tasks", json={"title": "t", "repository": repository, **fields})
    assert response.status_code == 201, response.text
    return response.get_json()


def test_a_task_has_githubs_facts_of_its_repository(client: FlaskClient) -> None:
    task = create(client, "pallets/flask")
    assert task["license"] == "BSD-3-Clause"
    assert task["homepage"] == "https://flask.palletsprojects.com"
    assert (task["fork"], task["visibility"]) == (False, "public")
    assert "werkzeug" in task["topics"]


@pytest.mark.parametrize(
    ("member", "value", "field", "stored"),
    [
        ("license", None, "license", None),
        ("license", {"spdx_id": "NOASSERTION"}, "license", "NOASSERTION"),
        ("license", {"spdx_id": None}, "license", None),
        ("homepage", "", "homepage", None),
        ("homepage", "javascript:alert(1)", "homepage", None),
        ("homepage", "https://" + "x" * 293, "homepage", None),
        ("homepage", "https://" + "x" * 292, "homepage", "https://" + "x" * 292),
        ("topics", [], "topics", []),
        ("topics", ["t"] * 21, "topics", ["t"] * 20),
        ("fork", True, "fork", True),
        ("visibility", "internal", "visibility", "internal"),
    ],
)
def test_an_unusual_fact_is_stored_as_documented(
    client: FlaskClient, github: GitHub, member: str, value: Any, field: str, stored: Any
) -> None:
    github.fault = Fault(changes={member: value})
    assert create(client, "pallets/flask")[field] == stored


@pytest.mark.parametrize("member", ["topics", "license", "homepage", "fork", "visibility"])
def test_a_fact_that_an_older_server_lacks_is_null(
    client: FlaskClient, github: GitHub, member: str
) -> None:
    github.fault = Fault(missing=member)
    assert create(client, "pallets/flask")[member] is None


def test_a_former_name_finds_the_tasks(client: FlaskClient, github: GitHub) -> None:
    first = create(client, "psf/requests")
    github.rename("psf/requests", "psf/requests2")
    assert client.post(f"/tasks/{first['id']}/refresh").get_json()["repository"] == "psf/requests2"
    create(client, "docker/docker")
    for former, name in (("PSF/Requests", "psf/requests2"), ("docker/docker", "moby/moby")):
        found = client.get("/tasks", query_string={"repository": former}).get_json()
        assert [task["repository"] for task in found] == [name]


def test_a_name_in_use_does_not_find_the_tasks_of_another(
    settings: Settings, client: FlaskClient, github: GitHub
) -> None:
    old = create(client, "psf/requests")
    github.rename("psf/requests", "psf/requests2")
    client.post(f"/tasks/{old['id']}/refresh")
    del github.renamed["psf/requests"]
    usurper = {**github.repositories["pallets/flask"], "id": 77, "full_name": "psf/requests"}
    github.repositories["psf/requests"] = usurper
    elsewhere = create_app(settings).test_client()  # a process whose cache has no redirect
    new = create(elsewhere, "psf/requests", title="new")
    found = client.get("/tasks?repository=psf/requests").get_json()
    assert [task["id"] for task in found] == [new["id"]]


def test_a_cached_response_for_a_former_name_does_not_replace_newer_facts(
    client: FlaskClient, github: GitHub
) -> None:
    path = f"/tasks/{create(client, 'docker/docker')['id']}"
    github.repositories["moby/moby"]["stars"] += 1
    refreshed = client.post(f"{path}/refresh").get_json()
    calls = len(github.calls)
    edited = client.patch(path, json={"repository": "docker/docker", "title": "changed"}).get_json()
    assert len(github.calls) == calls
    assert edited["stars"] == refreshed["stars"]
    assert edited["metadata_fetched_at"] == refreshed["metadata_fetched_at"]
    assert (edited["title"], edited["version"]) == ("changed", refreshed["version"] + 1)


def test_a_former_name_of_the_same_repository_makes_no_new_version(client: FlaskClient) -> None:
    before = create(client, "moby/moby")
    response = client.patch(f"/tasks/{before['id']}", json={"repository": "docker/docker"})
    after = response.get_json()
    assert after["metadata_fetched_at"] > before["metadata_fetched_at"]
    assert after == {**before, "metadata_fetched_at": after["metadata_fetched_at"]}
    assert response.headers["ETag"] == '"1"'
    assert client.get(f"/tasks/{before['id']}").get_json() == after


@pytest.mark.parametrize("use_case", ["put", "patch", "refresh"])
def test_a_repository_created_anew_is_taken_up(
    client: FlaskClient, github: GitHub, use_case: str
) -> None:
    path = f"/tasks/{create(client, 'psf/requests')['id']}"
    gone = github.repositories.pop("psf/requests")
    assert client.post(f"{path}/refresh").get_json()["metadata_status"] == "unavailable"
    github.repositories["psf/requests"] = {**gone, "id": 4242, "stars": 1}
    body = {"title": "t", "repository": "psf/requests"}
    if use_case == "refresh":
        task = client.post(f"{path}/refresh").get_json()
    else:
        task = client.open(path, method=use_case, json=body).get_json()
    assert (task["metadata_status"], task["stars"]) == ("current", 1)


def test_a_gone_repository_does_not_stop_an_edit(client: FlaskClient, github: GitHub) -> None:
    path = f"/tasks/{create(client, 'psf/requests')['id']}"
    del github.repositories["psf/requests"]
    client.post(f"{path}/refresh")
    body = {"title": "changed", "repository": "psf/requests"}
    task = client.put(path, json=body).get_json()
    assert (task["title"], task["metadata_status"]) == ("changed", "unavailable")


def test_repositories_that_swap_names_stay_apart(client: FlaskClient, github: GitHub) -> None:
    one, two = create(client, "git/git"), create(client, "golang/go")
    first, second = github.repositories["git/git"], github.repositories["golang/go"]
    github.repositories["git/git"] = {**second, "full_name": "git/git"}
    github.repositories["golang/go"] = {**first, "full_name": "golang/go"}
    for task, name in ((one, "golang/go"), (two, "git/git")):
        refreshed = client.post(f"/tasks/{task['id']}/refresh").get_json()
        assert (refreshed["repository"], refreshed["stars"]) == (name, task["stars"])


def test_a_pasted_url_of_another_host_is_refused_by_name(settings: Settings) -> None:
    enterprise = replace(settings, github_api_base="https://ghe.example.com/api/v3")
    client = create_app(enterprise).test_client()
    body = {"title": "t", "repository": "https://github.com/pallets/flask"}
    response = client.post("/tasks", json=body)
    assert response.status_code == 422
    (message,) = response.get_json()["errors"]["json"]["repository"]
    assert "ghe.example.com" in message
