"""A creation that is repeated with one Idempotency-Key is executed once."""

import dataclasses
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from peewee import SQL

from helpers import served
from tracker.config import Settings
from tracker.database import queries
from tracker.database.connection import configure, connection, database
from tracker.database.models import IdempotencyKey, Task
from tracker.demo.github import FAULTS, Fault, GitHub
from tracker.errors import IdempotencyKeyInProgress
from tracker.tasks import idempotency
from tracker.tasks.idempotency import Lease

TASK = {"title": "Read the docs", "repository": "pallets/flask"}
KEY = {"Idempotency-Key": "a-key"}


def stored() -> int:
    with connection():
        return int(Task.select().count())


def acquire(seconds: float = 30) -> Lease:
    """Acquire the lease on the key of a request that never finishes."""
    lease = idempotency.acquire("a-key", TASK, seconds)
    assert isinstance(lease, Lease)
    return lease


def complete(lease: Lease, task_id: int) -> None:
    with connection(), database.atomic():
        idempotency.complete(lease, task_id)


def set_age(hours: int) -> None:
    """Change the time at which the requests have acquired their keys."""
    with connection():
        claimed_at = SQL("now() - make_interval(hours => %s)", (hours,))
        IdempotencyKey.update(claimed_at=claimed_at).execute()


def test_a_repeat_gets_the_first_task_without_github(client: FlaskClient, github: GitHub) -> None:
    first = client.post("/tasks", json=TASK, headers=KEY)
    assert first.status_code == 201
    assert "Idempotency-Replayed" not in first.headers
    github.fault = FAULTS["500"]
    again = client.post("/tasks", json=TASK, headers=KEY)
    assert again.status_code == 201
    assert again.get_json() == first.get_json()
    assert again.headers["Idempotency-Replayed"] == "true"
    assert again.headers["Location"] == first.headers["Location"]
    assert (stored(), len(github.calls)) == (1, 1)


def test_the_same_body_in_another_spelling_is_a_repeat(client: FlaskClient) -> None:
    first = client.post("/tasks", json=TASK, headers=KEY)
    body = '{"repository":"https://github.com/pallets/flask", "title":" Read the docs ", "tags":[]}'
    again = client.post("/tasks", data=body, content_type="application/json", headers=KEY)
    assert again.get_json() == first.get_json()


def test_a_key_with_another_body_is_422(client: FlaskClient) -> None:
    client.post("/tasks", json=TASK, headers=KEY)
    response = client.post("/tasks", json=TASK | {"title": "Other"}, headers=KEY)
    assert response.status_code == 422
    assert list(response.get_json()["errors"]["headers"]) == ["Idempotency-Key"]
    assert stored() == 1


def test_another_key_creates_another_task(client: FlaskClient) -> None:
    client.post("/tasks", json=TASK, headers=KEY)
    client.post("/tasks", json=TASK, headers={"Idempotency-Key": "A-key"})
    assert stored() == 2


def test_a_repeat_after_a_change_gets_the_changed_task(client: FlaskClient) -> None:
    first = client.post("/tasks", json=TASK, headers=KEY).get_json()
    client.patch(f"/tasks/{first['id']}", json={"status": "done"})
    again = client.post("/tasks", json=TASK, headers=KEY)
    assert (again.get_json()["id"], again.get_json()["status"]) == (first["id"], "done")
    assert again.headers["ETag"] == '"2"'


def test_a_repeat_after_a_deletion_is_404(client: FlaskClient) -> None:
    task = client.post("/tasks", json=TASK, headers=KEY).get_json()
    client.delete(f"/tasks/{task['id']}")
    response = client.post("/tasks", json=TASK, headers=KEY)
    assert response.status_code == 404
    assert "deleted" in response.get_json()["message"]
    assert stored() == 0


@pytest.mark.parametrize(("fault", "status"), [("500", 502), ("404", 422), ("429", 503)])
def test_a_failed_creation_releases_its_key(
    client: FlaskClient, github: GitHub, fault: str, status: int
) -> None:
    github.fault = FAULTS[fault]
    assert client.post("/tasks", json=TASK, headers=KEY).status_code == status
    with connection():
        assert IdempotencyKey.select().count() == 0
    assert stored() == 0


def test_a_key_works_with_optional_metadata(client: FlaskClient, github: GitHub) -> None:
    github.fault = FAULTS["500"]
    url = "/tasks?metadata=optional"
    first, again = (client.post(url, json=TASK, headers=KEY) for _ in range(2))
    assert first.get_json() == again.get_json()
    assert first.get_json()["metadata_status"] == "pending"
    assert stored() == 1


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "two words", "é", "tab\t"])
def test_an_invalid_key_is_422(client: FlaskClient, key: str) -> None:
    response = client.post("/tasks", json=TASK, headers={"Idempotency-Key": key})
    assert response.status_code == 422
    assert list(response.get_json()["errors"]["headers"]) == ["Idempotency-Key"]


@pytest.mark.parametrize("key", ["x", "x" * 255, "!~{}"])
def test_a_valid_key_is_accepted(client: FlaskClient, key: str) -> None:
    response = client.post("/tasks", json=TASK, headers={"Idempotency-Key": key})
    assert response.status_code == 201


def test_the_key_of_a_dead_request_is_free_in_two_seconds(app: Flask) -> None:
    dead = acquire()
    taken = acquire()  # waits
    assert 1.5 <= (taken.claimed_at - dead.claimed_at).total_seconds() < 2
    with pytest.raises(IdempotencyKeyInProgress, match="took too long"):
        complete(dead, 1)
    idempotency.release(dead)
    complete(taken, 7)
    assert idempotency.acquire("a-key", TASK, 30) == 7


def test_a_living_request_keeps_its_key(app: Flask, database_url: str) -> None:
    storing = idempotency.acquire("storing", TASK, 30)
    assert isinstance(storing, Lease)
    with (
        closing(psycopg2.connect(database_url)) as other,
        idempotency.renewed(acquire()),
        idempotency.renewed(storing),
    ):
        other.cursor().execute("UPDATE idempotency_keys SET task_id = 1 WHERE key = 'storing'")
        with pytest.raises(IdempotencyKeyInProgress):
            acquire(2.3)


def test_the_lease_of_an_older_version_lasts_longer(app: Flask) -> None:
    dead = acquire()
    with connection():
        IdempotencyKey.update(lease_until=None).execute()
    assert acquire(1.8).claimed_at >= dead.claimed_at + timedelta(seconds=1.8)


def test_a_repeat_of_an_unfinished_request_is_503_in_the_end(app: Flask) -> None:
    acquire()
    set_age(hours=-1)  # the lease of a request that started just now, for as long as this waits
    with pytest.raises(IdempotencyKeyInProgress, match="has not finished") as raised:
        acquire(0.2)
    assert (raised.value.status, raised.value.headers) == (503, {"Retry-After": "2"})


def test_a_task_whose_lease_has_expired_is_rolled_back(app: Flask) -> None:
    late = dataclasses.replace(acquire(), key="another")
    with pytest.raises(IdempotencyKeyInProgress), connection(), database.atomic():
        queries.insert_task(dict(TASK))
        idempotency.complete(late, 1)
    assert stored() == 0


def test_a_key_is_released_when_the_database_is_back(app: Flask, settings: Settings) -> None:
    lease = acquire()
    configure(dataclasses.replace(settings, database_url="postgresql://127.0.0.1:1/nowhere"))
    idempotency.release(lease)
    configure(settings)
    idempotency.acquire("another", TASK, 30)
    with connection():
        assert [row.key for row in IdempotencyKey.select()] == ["another"]


def test_a_key_is_kept_for_seven_days(client: FlaskClient) -> None:
    for hours, tasks in ((0, 1), (167, 1), (169, 2)):
        set_age(hours)
        client.post("/tasks", json=TASK, headers=KEY)
        assert stored() == tasks


def test_20_concurrent_repeats_create_one_task(app: Flask, github: GitHub) -> None:
    github.fault = Fault(delay=0.2)

    def post(_: int) -> tuple[int, Any]:
        response = app.test_client().post("/tasks", json=TASK, headers=KEY)
        return response.status_code, response.get_json()

    with ThreadPoolExecutor(20) as pool:
        responses = list(pool.map(post, range(20)))
    assert responses == [responses[0]] * 20
    assert responses[0][0] == 201
    assert (stored(), len(github.calls)) == (1, 1)


@pytest.mark.slow  # the test before has one process
def test_50_concurrent_repeats_over_two_workers_create_one_task(
    app: Flask, environment: dict[str, str], github: GitHub, tmp_path: Path
) -> None:
    github.fault = Fault(delay=0.3)
    with served(environment | {"WEB_CONCURRENCY": "2"}, tmp_path / "output") as service:

        def post(_: int) -> tuple[int, Any]:
            response = service.post("pallets/flask", headers=KEY)
            return response.status_code, response.json()

        with ThreadPoolExecutor(50) as pool:
            responses = list(pool.map(post, range(50)))
        workers = set(re.findall(r"Booting worker with pid: (\d+)", service.log))
    assert len(workers) == 2
    assert responses == [responses[0]] * 50
    assert responses[0][0] == 201
    assert (stored(), len(github.calls)) == (1, 1)
