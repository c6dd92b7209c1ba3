"""Create the tables. Frozen: later changes are migrations of their own."""

from typing import Any

INDEXES = {
    "tasks_repository_id": "(repository_id, repository)",
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
    # PostgreSQL's parser would keep pallets/flask, 1.2-rc3 or a URL as one word, so the search
    # column has spaces instead of punctuation.
    db.execute_sql(r"""
        CREATE TABLE tasks (
            id BIGSERIAL PRIMARY KEY,
            title TEXT NOT NULL,
            description TEXT,
            status TEXT NOT NULL,
            priority TEXT NOT NULL,
            tags TEXT[] NOT NULL,
            due_date DATE,
            repository TEXT NOT NULL,
            issue BIGINT,
            repository_id BIGINT,
            repository_url TEXT,
            issue_url TEXT GENERATED ALWAYS AS (
                repository_url || '/issues/' || issue
            ) STORED,
            repository_description TEXT,
            stars BIGINT,
            language TEXT,
            archived BOOLEAN,
            pushed_at TIMESTAMPTZ,
            topics TEXT[],
            license TEXT,
            homepage TEXT,
            fork BOOLEAN,
            visibility TEXT,
            metadata_status TEXT NOT NULL,
            metadata_fetched_at TIMESTAMPTZ,
            version BIGINT NOT NULL DEFAULT 1,
            created_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            updated_at TIMESTAMPTZ NOT NULL DEFAULT now(),
            search TSVECTOR NOT NULL GENERATED ALWAYS AS (
                to_tsvector('simple', regexp_replace(
                    title || ' ' || coalesce(description, '') || ' ' || repository
                    || ' ' || coalesce(repository_description, ''),
                    '[!-/:-@[-`{-~]', ' ', 'g'
                ))
            ) STORED,
            CONSTRAINT tasks_title_length CHECK (char_length(title) BETWEEN 1 AND 200),
            CONSTRAINT tasks_title_line CHECK (title = btrim(title) AND title !~ '[\n\r]'),
            CONSTRAINT tasks_description_length CHECK (char_length(description) <= 10000),
            CONSTRAINT tasks_status_known CHECK (status IN ('open', 'in_progress', 'done')),
            CONSTRAINT tasks_priority_known CHECK (priority IN ('low', 'normal', 'high')),
            CONSTRAINT tasks_tags_number CHECK (cardinality(tags) <= 20),
            CONSTRAINT tasks_tags_length CHECK (
                array_position(tags, NULL) IS NULL AND array_position(tags, '') IS NULL
                AND array_to_string(tags, '') !~ '[\n\r]'
                AND array_to_string(tags, E'\n') !~ '[^\n]{51,}'
            ),
            CONSTRAINT tasks_repository_name CHECK (
                repository ~ '^[A-Za-z0-9_-]{1,39}/[A-Za-z0-9._-]{1,100}$'
            ),
            CONSTRAINT tasks_issue_range CHECK (issue BETWEEN 1 AND 2147483647),
            CONSTRAINT tasks_stars_natural CHECK (stars >= 0),
            CONSTRAINT tasks_metadata_status_known CHECK (
                metadata_status IN ('current', 'pending', 'unavailable')
            ),
            CONSTRAINT tasks_metadata_whole CHECK (
                metadata_status <> 'current' OR (
                    repository_id IS NOT NULL AND repository_url IS NOT NULL
                    AND stars IS NOT NULL AND archived IS NOT NULL
                    AND metadata_fetched_at IS NOT NULL
                )
            ),
            CONSTRAINT tasks_version_positive CHECK (version >= 1)
        )
    """)
    for name, definition in INDEXES.items():
        db.execute_sql(f"CREATE INDEX {name} ON tasks {definition}")
    db.execute_sql("""
        CREATE TABLE idempotency_keys (
            key TEXT PRIMARY KEY,
            fingerprint TEXT NOT NULL,
            task_id BIGINT,
            claimed_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    db.execute_sql("""
        CREATE TABLE former_names (
            name TEXT NOT NULL,
            repository_id BIGINT NOT NULL,
            PRIMARY KEY (name, repository_id)
        )
    """)
    db.execute_sql("CREATE INDEX idempotency_keys_claimed_at ON idempotency_keys (claimed_at)")


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("DROP TABLE idempotency_keys")
    db.execute_sql("DROP TABLE former_names")
    db.execute_sql("DROP TABLE tasks")
