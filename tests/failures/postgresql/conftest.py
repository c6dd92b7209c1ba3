"""A PostgreSQL server that a test may hurt, and a service that uses it."""

from collections.abc import Iterator
from pathlib import Path

import psycopg2.extensions
import pytest

from hurt import DATABASE, execute, server_url, start
from tracker.config import Settings
from tracker.database import migrations
from tracker.postgres import server as embedded


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The data folder of a server that only the test restarts."""
    folder = tmp_path_factory.mktemp("own") / "postgres"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "WATCH_INTERVAL", 3600)
        with embedded.running(folder):
            yield folder


@pytest.fixture
def url(folder: Path) -> Iterator[str]:
    """A database on that server, with the schema."""
    start(folder)
    execute(server_url(folder), f"CREATE DATABASE {DATABASE}")
    url = psycopg2.extensions.make_dsn(server_url(folder), dbname=DATABASE)
    migrations.upgrade(Settings(database_url=url))
    yield url
    start(folder)
    execute(server_url(folder), f"DROP DATABASE {DATABASE} WITH (FORCE)")


@pytest.fixture
def environment(environment: dict[str, str], url: str) -> dict[str, str]:
    """The environment of a service that uses that database, and has no cache file."""
    return {**environment, "DATABASE_URL": url, "GITHUB_CACHE": "memory"}
