"""Whether the service lives, and whether it is ready."""

from flask.testing import FlaskClient

from tracker.database.connection import database
from tracker.demo.github import GitHub


def test_a_live_process_says_so_and_touches_nothing(client: FlaskClient, github: GitHub) -> None:
    response = client.get("/health/live")
    assert (response.status_code, response.json) == (200, {"status": "ok"})
    assert database.lent == 0
    assert database._idle == []


def test_a_ready_service_says_so_and_asks_github_nothing(
    client: FlaskClient, github: GitHub
) -> None:
    response = client.get("/health/ready")
    assert (response.status_code, response.json) == (200, {"status": "ok"})
    assert github.calls == []
