"""Fixtures to run commands in this process, and verbs beside a service."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask.cli import FlaskGroup

from command_line import ALL, Tracker, logging_kept
from helpers import Service, served
from tracker import create_app
from tracker.config import Settings
from tracker.demo.github import GitHub


@pytest.fixture
def run(settings: Settings) -> Iterator[Callable[..., Result]]:
    """Run a command with this test's settings, some of them changed."""

    def run(*words: str, **changes: Any) -> Result:
        app = create_app(replace(settings, **changes))
        return app.test_cli_runner().invoke(FlaskGroup(name="flask", create_app=lambda: app), words)

    with logging_kept():
        yield run


@pytest.fixture(scope="module")
def cli_service(
    module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service for the tests of one module."""
    environment = {**module_environment, "WEB_CONCURRENCY": "1"}
    with served(environment, tmp_path_factory.mktemp("cli") / "output") as service:
        yield service


@pytest.fixture
def tracker(cli_service: Service, module_github: GitHub, tmp_path: Path) -> Iterator[Tracker]:
    """The command line; the tasks are deleted after the test."""
    yield Tracker(cli_service, module_github, tmp_path)
    cli_service.call("DELETE", ALL)
