"""GitHub's rate limit over the API."""

import time

import pytest
from flask.testing import FlaskClient

from tracker.demo.github import FAULTS, Fault, GitHub


def test_the_rate_limit_is_what_github_told(client: FlaskClient, github: GitHub) -> None:
    assert client.get("/rate-limit").get_json() is None
    assert github.calls == []
    github.remaining, github.reset = 30, time.time() + 600
    client.post("/tasks", json={"title": "t", "repository": "pallets/flask"})
    resets_at = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(github.reset))
    told = {"limit": 60, "remaining": 29, "resets_at": resets_at}
    assert client.get("/rate-limit").get_json() == told
    github.remaining = 10
    assert client.get("/rate-limit").get_json() == told
    assert client.get("/rate-limit?ask=true").get_json() == told | {"remaining": 10}


@pytest.mark.parametrize("fault", ["401", "500", "closed", "html"])
def test_an_ask_that_fails_says_why(client: FlaskClient, github: GitHub, fault: str) -> None:
    github.rate_limit_fault = FAULTS[fault]
    assert client.get("/rate-limit?ask=true").status_code == 502


def test_a_server_without_rate_limits_has_none(client: FlaskClient, github: GitHub) -> None:
    github.rate_limit_fault = Fault(404, body=b'{"message": "Rate limiting is not enabled."}')
    response = client.get("/rate-limit?ask=true")
    assert (response.status_code, response.get_json()) == (200, None)


@pytest.mark.parametrize("query", ["ask=maybe", "ask=", "asked=true"])
def test_a_wrong_query_is_422(client: FlaskClient, query: str) -> None:
    assert client.get(f"/rate-limit?{query}").status_code == 422
