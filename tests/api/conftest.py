"""Fixtures for requests to applications with other settings."""

import dataclasses
import re
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tracker import create_app
from tracker.config import Settings


@pytest.fixture
def client_with(settings: Settings, client: FlaskClient) -> Callable[..., FlaskClient]:
    """Create a client of an application with some settings changed."""

    def client_with(**changes: Any) -> FlaskClient:
        app = create_app(dataclasses.replace(settings, **changes))
        app.test_client_class = client.application.test_client_class
        return app.test_client()

    return client_with


@pytest.fixture
def routes() -> Callable[[Flask], list[tuple[str, str]]]:
    """Return each method and path that an application serves."""

    def routes(app: Flask) -> list[tuple[str, str]]:
        return [
            (method, re.sub(r"<(?:\w+:)?(\w+)>", r"{\1}", str(rule).replace("<task:task_id>", "1")))
            for rule in app.url_map.iter_rules()
            for method in rule.methods or ()
        ]

    return routes
