"""Fixture to run commands in this process."""

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from click.testing import Result
from flask.cli import FlaskGroup

from tracker import create_app
from tracker.config import Settings


@pytest.fixture
def run(settings: Settings) -> Iterator[Callable[..., Result]]:
    """Run a command with this test's settings, some of them changed."""

    def run(*words: str, **changes: Any) -> Result:
        app = create_app(replace(settings, **changes))
        return app.test_cli_runner().invoke(FlaskGroup(name="flask", create_app=lambda: app), words)

    handlers = logging.getLogger().handlers[:]
    yield run
    logging.getLogger().handlers[:] = handlers
