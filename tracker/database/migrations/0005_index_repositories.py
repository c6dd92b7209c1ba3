"""Add the indexes of repositories. Frozen: later changes are migrations of their own."""

from typing import Any

atomic = False  # PostgreSQL builds no index concurrently in a transaction

INDEXES = {
    "tasks_facts": "(repository_id, metadata_fetched_at DESC NULLS LAST, id DESC) INCLUDE (status)",
    "tasks_names": (
        '(lower(repository COLLATE "C"), repository_id) INCLUDE (repository)'
        " WHERE repository_id IS NOT NULL"
    ),
    "tasks_stars_repository": "(stars, repository_id)",
    "tasks_pushed_at_repository": "(pushed_at, repository_id)",
    "tasks_fetched_at_repository": "(metadata_fetched_at, repository_id)",
    "tasks_unidentified": '(lower(repository COLLATE "C"), id) WHERE repository_id IS NULL',
}


def up(migrator: Any, db: Any) -> None:
    with db.cursor() as cursor:  # it sends each statement alone, as PostgreSQL requires
        for name, definition in INDEXES.items():
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


def down(migrator: Any, db: Any) -> None:
    with db.cursor() as cursor:
        for name in INDEXES:
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
