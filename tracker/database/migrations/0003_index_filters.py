"""Add the indexes of filters and of a sort. Frozen: later changes are migrations of their own."""

from typing import Any

atomic = False  # PostgreSQL builds no index concurrently in a transaction

INDEXES = {
    "tasks_completed_at": "(completed_at, id)",
    "tasks_not_done": "(created_at, id) WHERE status <> 'done'",
    # All tasks on a repository have one time of the last push: a page by it, of another filter on
    # the repository, would scan all tasks on many repositories.
    "tasks_language": '(lower(language COLLATE "C"), pushed_at, id)',
    "tasks_license": '(lower(license COLLATE "C"), pushed_at, id)',
    "tasks_fork": "(created_at, id) WHERE fork",
    "tasks_fork_pushed_at": "(pushed_at, id) WHERE fork",
    "tasks_archived_pushed_at": "(pushed_at, id) WHERE archived",
    "tasks_topics": "USING gin (topics)",
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
        cursor.execute("ALTER TABLE tasks VALIDATE CONSTRAINT tasks_completed_done")
        # With fewer, a rare topic counts as a common one in a table of millions.
        cursor.execute("ALTER TABLE tasks ALTER topics SET STATISTICS 1000")
        # An index on an expression has no statistics before.
        cursor.execute("ANALYZE tasks")


def down(migrator: Any, db: Any) -> None:
    with db.cursor() as cursor:
        for name in INDEXES:
            cursor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
