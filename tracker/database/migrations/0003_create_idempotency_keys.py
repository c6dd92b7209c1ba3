"""The table of idempotency keys. Frozen: later changes are migrations of their own."""

from typing import Any


def up(migrator: Any, db: Any) -> None:
    db.execute_sql("""
        CREATE TABLE idempotency_keys (
            key TEXT PRIMARY KEY,
            fingerprint TEXT NOT NULL,
            task_id BIGINT,
            claimed_at TIMESTAMPTZ NOT NULL DEFAULT now()
        )
    """)
    db.execute_sql("CREATE INDEX idempotency_keys_claimed_at ON idempotency_keys (claimed_at)")


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("DROP TABLE idempotency_keys")
