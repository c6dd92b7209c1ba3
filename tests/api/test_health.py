"""Health checks: the process responds, and the database can be used."""

import dataclasses

from flask.testing import FlaskClient

from tracker import create_app
from tracker.config import Settings
from tracker.demo.github import GitHub


def test_live_needs_neither_database_nor_github(settings: Settings, github: GitHub) -> None:
    nowhere = dataclasses.replace(settings, database_url="postgresql://127.0.0.1:1/nowhere")
    response = create_app(nowhere).test_client().get("/health/live")
    assert (response.status_code, response.get_json()) == (200, {"status": "ok"})
    assert github.calls == []


def test_ready_needs_the_database_but_not_github(client: FlaskClient, github: GitHub) -> None:
    response = client.get("/health/ready")
    assert (response.status_code, response.get_json()) == (200, {"status": "ok"})
    assert github.calls == []
