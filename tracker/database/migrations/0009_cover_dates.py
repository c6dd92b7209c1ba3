"""Add the columns of common filters to five indexes.

Frozen: later changes are migrations of their own.
"""

from typing import Any

from tracker.database.indexes import create_concurrently, drop_concurrently

atomic = False  # PostgreSQL builds no index concurrently in a transaction

RANK = "array_position(ARRAY['low', 'normal', 'high'], priority)"
COVERING = {
    "tasks_created_at_id": (
        "(created_at, id) INCLUDE (updated_at, completed_at, due_date, status, priority)"
    ),
    "tasks_updated_at_id": (
        "(updated_at, id) INCLUDE (created_at, completed_at, due_date, status, priority)"
    ),
    "tasks_completed_at_id": (
        "(completed_at, id) INCLUDE (created_at, updated_at, due_date, status, priority)"
    ),
    "tasks_due_date_id": (
        "(due_date, id) INCLUDE (created_at, updated_at, completed_at, status, priority)"
    ),
    "tasks_priority_id": (
        f"({RANK}, id) INCLUDE (created_at, updated_at, completed_at, due_date, status, priority)"
    ),
}
FORMER = {
    "tasks_created_at": "(created_at, id)",
    "tasks_updated_at": "(updated_at, id)",
    "tasks_completed_at": "(completed_at, id)",
    "tasks_due_date": "(due_date, id)",
    "tasks_priority": f"({RANK}, id)",
}


def up(migrator: Any, db: Any) -> None:
    create_concurrently(db, COVERING)
    drop_concurrently(db, FORMER)


def down(migrator: Any, db: Any) -> None:
    create_concurrently(db, FORMER)
    drop_concurrently(db, COVERING)
