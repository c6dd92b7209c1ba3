"""The real parts that the tests run on: a PostgreSQL, a GitHub stand-in, and the application."""

import os
import uuid
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import psycopg2
import psycopg2.extensions
import pytest
from flask import Flask
from flask.testing import FlaskClient

from conformance import ConformingClient
from tracker import create_app, waiting
from tracker.config import Settings
from tracker.database import migrations
from tracker.database.connection import database
from tracker.demo.github import GitHub
from tracker.postgres import server as embedded

NAMES = ("DATABASE_URL", "GITHUB_API_BASE", "GITHUB_CACHE", "GITHUB_TIMEOUT", "GITHUB_TOKEN")


def clear(url: str) -> None:
    """Delete all that tests have stored in the database."""
    _cursor(url).execute("DELETE FROM tasks; DELETE FROM idempotency_keys")


@cache
def _cursor(url: str) -> Any:
    connection = psycopg2.connect(url)
    connection.autocommit = True
    return connection.cursor()


@pytest.fixture
def report(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Add a row to the table of faults that ends the tests' output."""
    return lambda fault, **columns: record_property("fault", {"fault": fault, **columns})


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what the failure tests measured, as a table in Markdown, where they were asked for."""
    if terminalreporter.config.getoption("markexpr") == "not slow":
        return
    tests = [test for tests in terminalreporter.stats.values() for test in tests]
    rows = [
        value
        for test in tests
        if getattr(test, "when", None) == "call"
        for name, value in test.user_properties
        if name == "fault"
    ]
    if not rows:
        return
    columns = list(dict.fromkeys(name for row in rows for name in row))
    terminalreporter.section("faults")
    for cells in (
        columns,
        ["---"] * len(columns),
        *([str(row.get(c, "")) for c in columns] for row in rows),
    ):
        terminalreporter.write_line(f"| {' | '.join(cells)} |")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """Connection parameters of a PostgreSQL: DATABASE_URL's, or an embedded one."""
    url = os.environ.get("DATABASE_URL")
    if url:
        yield psycopg2.extensions.parse_dsn(url)
        return
    folder = tmp_path_factory.mktemp("server") / "postgres"
    with embedded.running(folder):
        parameters = embedded.connection_parameters(folder)
        # Nothing here outlives the tests, and a slow disk would make them wait and fail.
        _execute(parameters, "ALTER SYSTEM SET fsync = off")
        _execute(parameters, "SELECT pg_reload_conf()")
        yield parameters


@pytest.fixture(scope="session")
def database_url(server: dict[str, Any]) -> Iterator[str]:
    """A database of our own on the server, with the schema in it."""
    name = f"tracker_test_{uuid.uuid4().hex[:12]}"
    _execute(server, f"CREATE DATABASE {name}")
    url = psycopg2.extensions.make_dsn(**{**server, "dbname": name})
    migrations.upgrade(Settings(database_url=url))
    yield url
    if not database.deferred:
        database.close_all()
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def empty_database_url(server: dict[str, Any]) -> Iterator[str]:
    """A database with nothing in it, for one test."""
    name = f"tracker_test_{uuid.uuid4().hex[:12]}"
    _execute(server, f"CREATE DATABASE {name}")
    yield psycopg2.extensions.make_dsn(**{**server, "dbname": name})
    _execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def _execute(server: dict[str, Any], statement: str) -> None:
    connection = psycopg2.connect(**server)
    connection.autocommit = True
    connection.cursor().execute(statement)
    connection.close()


@pytest.fixture
def github() -> Iterator[GitHub]:
    """A stand-in for GitHub, on a socket of its own."""
    with GitHub() as stand_in:
        yield stand_in


@pytest.fixture
def settings(database_url: str, github: GitHub) -> Settings:
    """Settings for this test's database and GitHub, with an empty cache."""
    return Settings(
        database_url=database_url,
        github_api_base=github.url,
        github_cache="memory",
        github_timeout=2.0,
        threads=4,
    )


@pytest.fixture
def app(settings: Settings) -> Iterator[Flask]:
    """The application; whatever the test stored is gone after it."""
    app = create_app(settings)
    app.test_client_class = ConformingClient
    yield app
    database.close_all()
    clear(settings.database_url)


@pytest.fixture
def client(app: Flask) -> FlaskClient:
    """A client of the application."""
    return app.test_client()


@pytest.fixture
def environment(database_url: str, github: GitHub, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The environment of a process that shares this test's database and GitHub."""
    kept = {name: value for name, value in os.environ.items() if name not in NAMES}
    yield kept | {
        "DATABASE_URL": database_url,
        "GITHUB_API_BASE": github.url,
        "GITHUB_CACHE": str(tmp_path / "github-cache.sqlite"),
        "GITHUB_TIMEOUT": "2",
    }
    clear(database_url)


@pytest.fixture
def steps(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """One for each time that a thread has handed the turn on."""
    steps: list[None] = []
    monkeypatch.setattr(waiting, "step_aside", lambda: steps.append(None))
    return steps
