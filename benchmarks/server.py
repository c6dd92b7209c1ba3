"""Run the one PostgreSQL server on which every service has a database with the same tasks."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg2

from benchmarks.github import repositories
from tracker.demo.github import DATA
from tracker.postgres import server as embedded

SEED = Path(__file__).with_name("seed.sql")
MEMORY = "/dev/shm"
REPOSITORIES = 1_000  # repositories of the tasks, the stand-in's among them


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL server with its default configuration."""

    folder: Path

    def url(self, database: str) -> str:
        """Return the URL of a database."""
        parameters = self._parameters()
        query = {name: parameters[name] for name in ("host", "port", "passfile")}
        return f"postgresql://{parameters['user']}@/{database}?{urlencode(query)}"

    def cache(self, service: str) -> str:
        """Return a path for the service's cache of GitHub's responses."""
        return str(self.folder.with_name(f"{service}-cache.sqlite"))

    def execute(self, database: str, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        """Execute statements, each in its own transaction, and return the rows of the last."""
        connection = psycopg2.connect(**self._parameters() | {"dbname": database})
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def create(self, database: str) -> None:
        """Create a database."""
        self.execute("postgres", f"CREATE DATABASE {database}")

    def drop(self, database: str) -> None:
        """Drop a database."""
        self.execute("postgres", f"DROP DATABASE {database} WITH (FORCE)")

    def seed(self, database: str, tasks: int) -> None:
        """Fill the empty table `tasks`, with the same rows in each database."""
        known = json.loads(DATA.read_text())["repositories"]
        known += repositories(REPOSITORIES - len(known))
        values = {"repositories": json.dumps(known), "tasks": tasks}
        self.execute(database, SEED.read_text(), values)
        # Otherwise autovacuum would do this later, in the middle of a measurement.
        self.execute(database, "VACUUM (ANALYZE) tasks")

    def snapshot(self, database: str) -> None:
        """Copy the database as it is now, for `restore`."""
        self.execute("postgres", f"CREATE DATABASE {database}_snapshot TEMPLATE {database}")
        self.execute("postgres", "CHECKPOINT")

    def restore(self, database: str) -> None:
        """Replace the database by its snapshot, and write everything to disk."""
        self.drop(database)
        self.execute("postgres", f"CREATE DATABASE {database} TEMPLATE {database}_snapshot")
        self.execute("postgres", "CHECKPOINT")

    def _parameters(self) -> dict[str, Any]:
        return embedded.superuser_parameters(self.folder)


@contextmanager
def running() -> Iterator[Server]:
    """Run a new PostgreSQL server for the time of the block, and remove its data afterwards.

    The data are in memory where /dev/shm exists: the time in which a disk flushes a commit would
    hide the differences between the services.
    """
    memory = MEMORY if Path(MEMORY).is_dir() else None
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=memory) as folder:
        data = Path(folder) / "postgres"
        with embedded.running(data):
            yield Server(data)
