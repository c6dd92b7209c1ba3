"""Health checks: the process responds, and the database can be used."""

import dataclasses
from contextlib import closing

import psycopg2
import pytest
from flask import Flask
from flask.testing import FlaskClient

from tracker import create_app
from tracker.config import Settings
from tracker.database import driver
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


def test_ready_is_503_while_the_table_is_rewritten(
    app: Flask, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(driver.SETTINGS, "lock_timeout", "100")
    client = create_app(settings).test_client()
    with closing(psycopg2.connect(settings.database_url)) as other:
        other.cursor().execute("LOCK TABLE tasks IN ACCESS EXCLUSIVE MODE")
        response = client.get("/health/ready")
    assert response.status_code == 503
    assert "get a lock in time" in response.get_json()["message"]
    assert client.get("/health/ready").status_code == 200


def test_ready_names_an_encoding_that_can_not_be_used(
    settings: Settings, latin1_database_url: str
) -> None:
    wrong = dataclasses.replace(settings, database_url=latin1_database_url)
    response = create_app(wrong).test_client().get("/health/ready")
    assert response.status_code == 503
    assert response.get_json()["message"] == "Database has the encoding LATIN1, and must have UTF8."
