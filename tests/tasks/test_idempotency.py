"""A creation that is repeated under one key is done once."""

import dataclasses
import re
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from peewee import SQL

from service import served
from tracker.database.connection import borrowed, database
from tracker.database.models import IdempotencyKey, Task
from tracker.demo.github import FAULTS, Fault, GitHub
from tracker.errors import KeyBusy
from tracker.tasks import idempotency

TASK = {"title": "Read the docs", "repository": "pallets/flask"}
KEY = {"Idempotency-Key": "a-key"}


def stored() -> int:
    with borrowed():
        return int(Task.select().count())


def test_a_repeat_answers_the_first_task_and_asks_github_nothing(
    client: FlaskClient, github: GitHub
) -> None:
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


def test_another_body_under_the_key_is_422_and_stores_nothing(client: FlaskClient) -> None:
    client.post("/tasks", json=TASK, headers=KEY)
    response = client.post("/tasks", json=TASK | {"title": "Other"}, headers=KEY)
    assert response.status_code == 422
    assert list(response.get_json()["errors"]["headers"]) == ["Idempotency-Key"]
    assert stored() == 1


def test_another_key_is_another_task(client: FlaskClient) -> None:
    client.post("/tasks", json=TASK, headers=KEY)
    client.post("/tasks", json=TASK, headers={"Idempotency-Key": "A-key"})
    assert stored() == 2


def test_a_repeat_after_a_change_answers_the_task_as_it_is_now(client: FlaskClient) -> None:
    first = client.post("/tasks", json=TASK, headers=KEY).get_json()
    client.patch(f"/tasks/{first['id']}", json={"status": "done"})
    again = client.post("/tasks", json=TASK, headers=KEY)
    assert (again.get_json()["id"], again.get_json()["status"]) == (first["id"], "done")
    assert again.headers["ETag"] == '"2"'


def test_a_repeat_after_the_task_was_deleted_is_404_and_creates_nothing(
    client: FlaskClient,
) -> None:
    task = client.post("/tasks", json=TASK, headers=KEY).get_json()
    client.delete(f"/tasks/{task['id']}")
    response = client.post("/tasks", json=TASK, headers=KEY)
    assert response.status_code == 404
    assert "deleted" in response.get_json()["message"]
    assert stored() == 0


@pytest.mark.parametrize(("fault", "status"), [("500", 502), ("404", 422), ("429", 503)])
def test_a_failed_request_frees_its_key(
    client: FlaskClient, github: GitHub, fault: str, status: int
) -> None:
    github.fault = FAULTS[fault]
    assert client.post("/tasks", json=TASK, headers=KEY).status_code == status
    with borrowed():
        assert IdempotencyKey.select().count() == 0
    assert stored() == 0


def test_the_key_goes_with_optional_metadata_too(client: FlaskClient, github: GitHub) -> None:
    github.fault = FAULTS["500"]
    url = "/tasks?metadata=optional"
    first, again = (client.post(url, json=TASK, headers=KEY) for _ in range(2))
    assert first.get_json() == again.get_json()
    assert first.get_json()["metadata_status"] == "pending"
    assert stored() == 1


@pytest.mark.parametrize("key", ["", " ", "x" * 256, "two words", "é", "tab\t"])
def test_an_unsound_key_is_422(client: FlaskClient, key: str) -> None:
    response = client.post("/tasks", json=TASK, headers={"Idempotency-Key": key})
    assert response.status_code == 422
    assert list(response.get_json()["errors"]["headers"]) == ["Idempotency-Key"]


@pytest.mark.parametrize("key", ["x", "x" * 255, "!~{}", "1; DROP TABLE tasks"[:2]])
def test_a_sound_key_is_taken(client: FlaskClient, key: str) -> None:
    response = client.post("/tasks", json=TASK, headers={"Idempotency-Key": key})
    assert response.status_code == 201


def test_of_20_equal_requests_at_once_one_task_comes_out(app: Flask, github: GitHub) -> None:
    github.fault = Fault(delay=0.2)

    def post(_: int) -> tuple[int, Any]:
        response = app.test_client().post("/tasks", json=TASK, headers=KEY)
        return response.status_code, response.get_json()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(post, range(20)))
    assert all(answer == answers[0] for answer in answers)
    assert answers[0][0] == 201
    assert (stored(), len(github.calls)) == (1, 1)


def test_a_key_whose_claimant_died_is_taken_over_when_its_lease_is_over(app: Flask) -> None:
    dead = idempotency.claim("a-key", TASK, lease=30, waiting=nullcontext())
    assert isinstance(dead, idempotency.Claim)
    taken = idempotency.claim("a-key", TASK, lease=0.3, waiting=nullcontext())
    assert isinstance(taken, idempotency.Claim)
    assert taken.claimed_at >= dead.claimed_at + timedelta(seconds=0.3)
    with pytest.raises(KeyBusy), borrowed(), database.atomic():
        idempotency.settle(dead, 1)
    idempotency.release(dead)
    with borrowed(), database.atomic():
        idempotency.settle(taken, 7)
    assert idempotency.claim("a-key", TASK, lease=30, waiting=nullcontext()) == 7


def test_a_task_is_not_kept_if_its_claim_was_taken_over(client: FlaskClient) -> None:
    claim = idempotency.claim("a-key", TASK, lease=30, waiting=nullcontext())
    assert isinstance(claim, idempotency.Claim)
    late = dataclasses.replace(claim, key="another")
    with pytest.raises(KeyBusy), borrowed(), database.atomic():
        Task.insert_returning(dict(TASK))
        idempotency.settle(late, 1)
    assert stored() == 0


def _age(interval: str) -> None:
    claimed_at = SQL("now() - %s::interval", (interval,))
    IdempotencyKey.update(claimed_at=claimed_at).execute()


def test_a_key_is_forgotten_after_seven_days(client: FlaskClient) -> None:
    client.post("/tasks", json=TASK, headers=KEY)
    with borrowed():
        _age("167 hours")
    client.post("/tasks", json=TASK, headers=KEY)
    assert stored() == 1
    with borrowed():
        _age("169 hours")
    client.post("/tasks", json=TASK, headers=KEY)
    assert stored() == 2


def test_of_50_equal_requests_over_two_processes_one_task_comes_out(
    app: Flask, environment: dict[str, str], github: GitHub, tmp_path: Path
) -> None:
    github.fault = Fault(delay=0.3)
    with served(environment | {"WEB_CONCURRENCY": "2"}, tmp_path / "output") as service:

        def post(_: int) -> tuple[int, Any]:
            response = service.post("pallets/flask", headers=KEY)
            return response.status_code, response.json()

        with ThreadPoolExecutor(50) as pool:
            answers = list(pool.map(post, range(50)))
        workers = set(re.findall(r"Booting worker with pid: (\d+)", service.log))
    assert len(workers) == 2
    assert answers == [answers[0]] * 50
    assert answers[0][0] == 201
    assert (stored(), len(github.calls)) == (1, 1)
