"""What two nodes behind nginx share: the tasks, the keys, and the calls to GitHub."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
import requests
from redis import Redis

from debian_postgresql import PostgreSQL
from helpers import Service, wait_for, workers
from nodes import Nodes, wait_until_gone
from tracker.demo.github import Fault, GitHub

pytestmark = pytest.mark.cluster

TASK = {"title": "Read the docs", "repository": "pallets/flask"}
FREE_IN = 2.0  # seconds
HELD = "SELECT count(*) FROM idempotency_keys WHERE task_id IS NULL"


@pytest.fixture(autouse=True)
def _empty(primary: PostgreSQL, redis_port: int) -> None:
    primary.execute("TRUNCATE tasks, idempotency_keys")
    with Redis(port=redis_port) as redis:
        redis.flushall()


def test_the_api_is_one_over_all_nodes(nodes: Nodes, shared_github: GitHub) -> None:
    first, second = nodes.services.values()
    key = {"Idempotency-Key": "one"}
    created = first.call("POST", "/tasks", json=TASK, headers=key)
    again = second.call("POST", "/tasks", json=TASK, headers=key)
    assert (created.status_code, again.status_code) == (201, 201)
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.json() == created.json()
    path = f"/tasks/{created.json()['id']}"
    version = {"If-Match": second.call("GET", path).headers["ETag"]}
    changes = [
        service.call("PATCH", path, json={"title": str(number)}, headers=version)
        for number, service in enumerate((first, second))
    ]
    assert [change.status_code for change in changes] == [200, 412]
    not_modified = second.call("GET", path, headers={"If-None-Match": changes[0].headers["ETag"]})
    assert not_modified.status_code == 304
    assert second.call("PUT", path, json=TASK | {"tags": ["a"]}).status_code == 200
    for repository in ("psf/requests", "django/django", "pallets/flask"):
        assert nodes.nginx.post(repository).status_code == 201
    assert len(shared_github.calls) == 3
    assert titles(nodes.nginx) == ["Read the docs", "t", "t", "t"]
    assert nodes.nginx.call("GET", "/tasks/counts?by=status").json()["open"] == 4
    bulk = nodes.nginx.call("PATCH", "/tasks?owner=pallets&expect=2", json={"status": "done"})
    assert bulk.json() == {"matched": 2, "changed": 2}
    exported = first.call("GET", "/tasks/export").content
    assert len(exported.splitlines()) == 4
    assert second.call("GET", "/tasks/export").content == exported
    imported = nodes.nginx.call("POST", "/tasks/import?format=lines", data="git/git Read it")
    assert imported.json()["created"] == 1, imported.text
    assert second.call("POST", f"{path}/refresh").status_code == 200
    assert len(nodes.nginx.call("GET", "/repositories").json()) == 4
    assert nodes.nginx.call("GET", "/changes").status_code == 200
    assert nodes.nginx.call("GET", "/rate-limit").json()["remaining"] is not None
    assert first.call("DELETE", path).status_code == 204
    assert second.call("GET", path).status_code == 404


def titles(nginx: Service) -> list[str]:
    """Return the titles of all tasks, over pages of two."""
    found, url = [], f"http://127.0.0.1:{nginx.port}/tasks?limit=2&sort=created_at"
    with requests.Session() as session:
        session.trust_env = False
        while url:
            response = session.get(url, timeout=5)
            found += [task["title"] for task in response.json()]
            url = response.links.get("next", {}).get("url", "")
    return found


def test_a_crowd_on_all_nodes_makes_one_call(nodes: Nodes, shared_github: GitHub) -> None:
    shared_github.fault = Fault(delay=2.0)  # longer than a lease that is not renewed
    services = list(nodes.services.values())
    with ThreadPoolExecutor(40) as threads:
        responses = threads.map(lambda n: services[n % 2].post("pallets/flask"), range(40))
        assert {response.status_code for response in responses} == {201}
    assert len(shared_github.calls) == 1


def test_a_key_that_a_dead_process_held_is_free_in_two_seconds(
    nodes: Nodes, primary: PostgreSQL, shared_github: GitHub, report: Callable[..., None]
) -> None:
    seconds = []
    first, second = nodes.services.values()
    with ThreadPoolExecutor() as threads:
        for number in range(5):
            headers = {"Idempotency-Key": f"key-{number}"}
            shared_github.fault = Fault(delay=4.0)
            name = list(shared_github.repositories)[number]
            dead = threads.submit(first.post, name, headers=headers)
            wait_for(lambda: primary.execute(HELD) == [(1,)])
            time.sleep(1.0)  # the lease is renewed meanwhile
            killed_workers = workers(first)
            for worker in killed_workers:
                worker.kill()
            killed = time.monotonic()
            with pytest.raises(requests.ConnectionError):
                dead.result()
            shared_github.fault = None
            response = second.post(name, headers=headers)
            seconds.append(time.monotonic() - killed)
            assert response.status_code == 201
            assert "Idempotency-Replayed" not in response.headers
            wait_until_gone(killed_workers)
            wait_for(lambda: len(workers(first)) == 2 and first.answers())
    report(
        "process with a key killed",
        tries=len(seconds),
        seen={201: len(seconds)},
        recovery=f"{max(seconds):.2f} s",
    )
    assert max(seconds) < FREE_IN


def test_a_redis_that_is_gone_stops_nothing(
    nodes: Nodes, shared_github: GitHub, redis_port: int
) -> None:
    with Redis(port=redis_port) as redis:
        redis.client_pause(3_000)  # it accepts connections, and says nothing
    names = list(shared_github.repositories)[:4]
    with ThreadPoolExecutor(8) as threads:
        responses = list(threads.map(nodes.nginx.post, names * 4))
    assert {response.status_code for response in responses} == {201}
    assert len(shared_github.calls) <= len(names) * 4
    assert "GITHUB_CACHE failed, using memory instead" in nodes.logs
