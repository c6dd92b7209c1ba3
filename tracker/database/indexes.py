"""Indexes of a large table, created and dropped while requests are served."""

from collections.abc import Iterable, Mapping
from typing import Any


def create_concurrently(db: Any, definitions: Mapping[str, str]) -> None:
    """Create those indexes of `tasks` that do not exist, by name.

    For use in a migration that is not atomic: PostgreSQL builds no index concurrently in a
    transaction.
    """
    with db.cursor() as cursor:  # it sends each statement alone, as PostgreSQL requires
        for name, definition in definitions.items():
            # An index whose build was interrupted exists, but is not valid.
            cursor.execute(
                "SELECT 1 FROM pg_index WHERE indexrelid = to_regclass(%s) AND NOT indisvalid",
                (name,),
            )
            if cursor.fetchone():
                cursor.execute(f"DROP INDEX CONCURRENTLY {name}")
            cursor.execute(f"CREATE INDEX CONCURRENTLY IF NOT EXISTS {name} ON tasks {definition}")
        # An index on an expression has no statistics before.
        cursor.execute("ANALYZE tasks")


def drop_concurrently(db: Any, names: Iterable[str]) -> None:
    """Drop those of the indexes that exist."""
    with db.cursor() as cursor:
        for name in names:
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
