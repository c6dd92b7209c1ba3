"""Fixtures to run commands in this process, and verbs beside a service."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask.cli import FlaskGroup

from command_line import ALL, Tracker
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

    handlers = logging.getLogger().handlers[:]
    yield run
    logging.getLogger().handlers[:] = handlers


@pytest.fixture(scope="module")
def cli_service(
    database_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Service, GitHub]]:
    """A service for the tests of one module, and its stand-in for GitHub."""
    folder = tmp_path_factory.mktemp("cli")
    with GitHub() as github:
        environment = {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": database_url,
            "GITHUB_API_BASE": github.url,
            "GITHUB_CACHE": "memory",
            "GITHUB_TIMEOUT": "2",
            "WEB_CONCURRENCY": "1",
        }
        with served(environment, folder / "output") as service:
            yield service, github


@pytest.fixture
def tracker(cli_service: tuple[Service, GitHub], tmp_path: Path) -> Iterator[Tracker]:
    """The command line; the tasks are deleted after the test."""
    service, github = cli_service
    yield Tracker(service, github, tmp_path)
    service.call("DELETE", ALL)
