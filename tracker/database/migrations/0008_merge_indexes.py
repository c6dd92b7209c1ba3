"""Replace six indexes by three. Frozen: later changes are migrations of their own."""

from typing import Any

from tracker.database.indexes import create_concurrently, drop_concurrently

atomic = False  # PostgreSQL builds no index concurrently in a transaction

MERGED = {
    "tasks_repository_name": (
        '(lower(repository COLLATE "C"), repository_id) INCLUDE (repository)'
    ),
    "tasks_stars_id": "(stars, id) INCLUDE (repository_id)",
    "tasks_pushed_at_id": "(pushed_at, id) INCLUDE (repository_id)",
}
FORMER = {
    "tasks_repository": '(lower(repository COLLATE "C"), id)',
    "tasks_names": (
        '(lower(repository COLLATE "C"), repository_id) INCLUDE (repository)'
        " WHERE repository_id IS NOT NULL"
    ),
    "tasks_stars": "(stars, id)",
    "tasks_stars_repository": "(stars, repository_id)",
    "tasks_pushed_at": "(pushed_at, id)",
    "tasks_pushed_at_repository": "(pushed_at, repository_id)",
}


def up(migrator: Any, db: Any) -> None:
    create_concurrently(db, MERGED)
    drop_concurrently(db, FORMER)


def down(migrator: Any, db: Any) -> None:
    create_concurrently(db, FORMER)
    drop_concurrently(db, MERGED)
