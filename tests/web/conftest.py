"""Fixtures of the page: a client that reads HTML, and tasks."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from playwright.sync_api import Browser, Page
from werkzeug.test import TestResponse

from browser import window
from conftest import clear
from helpers import Service, served
from tracker import create_app
from tracker.config import Settings
from tracker.demo.github import GitHub

HTML = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def get(client: FlaskClient) -> Callable[..., TestResponse]:
    """Request a page as a browser does."""
    return lambda path, **options: client.get(path, headers=HTML, **options)


@pytest.fixture
def post(client: FlaskClient) -> Callable[..., TestResponse]:
    """Send a form as a browser does."""
    return lambda path, **form: client.post(path, headers=HTML, data=form)


@pytest.fixture
def create(client: FlaskClient) -> Callable[..., dict[str, Any]]:
    """Create a task by the API."""

    def create(**fields: Any) -> dict[str, Any]:
        body = {"title": "Read the docs", "repository": "pallets/flask"} | fields
        response = client.post("/tasks", json=body)
        assert response.status_code == 201, response.text
        task: dict[str, Any] = response.get_json()
        return task

    return create


@pytest.fixture
def guarded(app: Flask, settings: Settings) -> FlaskClient:
    """A client of an application with two tokens."""
    guarded = create_app(replace(settings, api_token="first-token,second-token"))
    guarded.test_client_class = app.test_client_class
    return guarded.test_client()


@pytest.fixture(scope="session")
def live_github() -> Iterator[GitHub]:
    """The stand-in for GitHub of the running service."""
    with GitHub() as stand_in:
        yield stand_in


@pytest.fixture(scope="session")
def service(
    browser: Browser,
    database_url: str,
    live_github: GitHub,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Service]:
    """The running service."""
    folder = tmp_path_factory.mktemp("page")
    environment = {
        "DATABASE_URL": database_url,
        "GITHUB_API_BASE": live_github.url,
        "GITHUB_CACHE": str(folder / "cache.sqlite"),
        "GITHUB_TIMEOUT": "2",
        "FORWARDED_ALLOW_IPS": "127.0.0.1",  # the browser stands in for a proxy, too
    }
    with served(environment, folder / "output") as service:
        yield service


@pytest.fixture
def page(browser: Browser, service: Service, database_url: str) -> Iterator[Page]:
    """A window; the tasks are deleted after the test."""
    with window(browser, service) as page:
        yield page
    clear(database_url)


@pytest.fixture
def make(service: Service) -> Callable[..., dict[str, Any]]:
    """Create a task in the running service."""

    def make(**fields: Any) -> dict[str, Any]:
        body = {"title": "Read the docs", "repository": "pallets/flask"} | fields
        task: dict[str, Any] = service.call("POST", "/tasks", json=body).json()
        return task

    return make


@pytest.fixture
def stored(service: Service) -> Callable[[], list[dict[str, Any]]]:
    """Return the tasks, oldest first."""
    return lambda: service.call("GET", "/tasks?sort=created_at").json()
