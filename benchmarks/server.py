"""The one PostgreSQL that every service has a database on, all with the same tasks."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psycopg2

from benchmarks.github import repositories
from tracker.demo.github import DATA
from tracker.postgres import server as embedded

SEED = Path(__file__).with_name("seed.sql")
MEMORY = "/dev/shm"
REPOSITORIES = 1_000  # that the tasks are about, the stand-in's among them


@dataclass(frozen=True)
class Server:
    """A running PostgreSQL, with nothing about it configured."""

    folder: Path

    def url(self, database: str) -> str:
        """Give the URL of one of its databases."""
        host = embedded.connection_parameters(self.folder)["host"]
        return f"postgresql://postgres@/{database}?host={quote(host, safe='')}&port=5432"

    def execute(self, database: str, statement: str, values: Any = None) -> list[tuple[Any, ...]]:
        """Run statements, each in a transaction of its own, and give the last one's rows."""
        connection = psycopg2.connect(self.url(database))
        try:
            connection.autocommit = True
            cursor = connection.cursor()
            cursor.execute(statement, values)
            return cursor.fetchall() if cursor.description else []
        finally:
            connection.close()

    def create(self, database: str) -> None:
        """Make a database."""
        self.execute("postgres", f"CREATE DATABASE {database}")

    def drop(self, database: str) -> None:
        """Remove a database."""
        self.execute("postgres", f"DROP DATABASE {database} WITH (FORCE)")

    def seed(self, database: str, tasks: int) -> None:
        """Fill the empty table `tasks`, the same in each database."""
        known = json.loads(DATA.read_text())["repositories"]
        known += repositories(REPOSITORIES - len(known))
        values = {"repositories": json.dumps(known), "tasks": tasks}
        self.execute(database, SEED.read_text(), values)
        # All that autovacuum would do later, in the middle of somebody's turn.
        self.execute(database, "VACUUM (ANALYZE) tasks")

    def keep(self, database: str) -> None:
        """Keep a copy of the database as it is now."""
        self.execute("postgres", f"CREATE DATABASE {database}_kept TEMPLATE {database}")
        self.execute("postgres", "CHECKPOINT")

    def restore(self, database: str) -> None:
        """Put the copy in the database's place, and leave no writing to be done later."""
        self.drop(database)
        self.execute("postgres", f"CREATE DATABASE {database} TEMPLATE {database}_kept")
        self.execute("postgres", "CHECKPOINT")


@contextmanager
def running() -> Iterator[Server]:
    """Have a new PostgreSQL run for the time of the block, in a folder that goes with it.

    In memory, where there is such a folder: a disk's time to flush a commit would hide the rest.
    """
    memory = MEMORY if Path(MEMORY).is_dir() else None
    with tempfile.TemporaryDirectory(prefix="benchmarks-", dir=memory) as folder:
        data = Path(folder) / "postgres"
        with embedded.running(data):
            yield Server(data)
