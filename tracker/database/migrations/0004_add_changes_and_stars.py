"""Add the history of repositories. Frozen: later changes are migrations of their own."""

from typing import Any


def up(migrator: Any, db: Any) -> None:
    db.execute_sql("""
        CREATE TABLE changes (
            id BIGSERIAL PRIMARY KEY,
            repository_id BIGINT NOT NULL,
            repository TEXT NOT NULL,
            kind TEXT NOT NULL,
            before JSONB,
            after JSONB,
            seen_at TIMESTAMPTZ NOT NULL,
            previously_seen_at TIMESTAMPTZ NOT NULL,
            CONSTRAINT changes_kind_known CHECK (
                kind IN (
                    'renamed', 'archived', 'unarchived', 'unavailable', 'available', 'license',
                    'visibility'
                )
            )
        )
    """)
    db.execute_sql("CREATE INDEX changes_seen_at ON changes (seen_at, id)")
    db.execute_sql("CREATE INDEX changes_repository ON changes (repository_id, seen_at)")
    db.execute_sql("""
        CREATE TABLE stars (
            repository_id BIGINT NOT NULL,
            date DATE NOT NULL,
            stars BIGINT NOT NULL,
            repository TEXT NOT NULL,
            seen_at TIMESTAMPTZ NOT NULL,
            PRIMARY KEY (repository_id, date),
            CONSTRAINT stars_natural CHECK (stars >= 0)
        )
    """)
    db.execute_sql('CREATE INDEX stars_repository ON stars (lower(repository COLLATE "C"))')


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("DROP TABLE stars")
    db.execute_sql("DROP TABLE changes")
