"""What lists need: an index for each order, and the words to search by."""

from typing import Any

INDEXES = {
    "tasks_created_at": "(created_at, id)",
    "tasks_updated_at": "(updated_at, id)",
    "tasks_due_date": "(due_date, id)",
    "tasks_priority": "(array_position(ARRAY['low', 'normal', 'high'], priority), id)",
    "tasks_stars": "(stars, id)",
    "tasks_pushed_at": "(pushed_at, id)",
    "tasks_title": "(title, id)",
    "tasks_repository": "(lower(repository), id)",
    "tasks_tags": "USING gin (tags)",
    "tasks_search": "USING gin (search)",
}


def up(migrator: Any, db: Any) -> None:
    # The parser would keep pallets/flask, 1.2-rc3 or a URL as one word; without punctuation each
    # part of them can be found.
    db.execute_sql(r"""
        ALTER TABLE tasks ADD COLUMN search tsvector NOT NULL GENERATED ALWAYS AS (
            to_tsvector('simple', regexp_replace(
                title || ' ' || coalesce(description, '') || ' ' || repository
                || ' ' || coalesce(repository_description, ''),
                '[!-/:-@[-`{-~]', ' ', 'g'
            ))
        ) STORED
    """)
    for name, definition in INDEXES.items():
        db.execute_sql(f"CREATE INDEX {name} ON tasks {definition}")


def down(migrator: Any, db: Any) -> None:
    for name in INDEXES:
        if name != "tasks_search":
            db.execute_sql(f"DROP INDEX {name}")
    db.execute_sql("ALTER TABLE tasks DROP COLUMN search")
