"""Add the time until which a creation holds its key; it renews it. Frozen."""

from typing import Any


def up(migrator: Any, db: Any) -> None:
    # While the statement waits for its lock, all others wait behind it: so it waits for a second,
    # and tries again. An older version leaves the column null.
    db.execute_sql("""
        DO $block$
        BEGIN
            PERFORM set_config('lock_timeout', '1s', true);
            LOOP
                BEGIN
                    ALTER TABLE idempotency_keys ADD COLUMN lease_until TIMESTAMPTZ;
                    EXIT;
                EXCEPTION WHEN lock_not_available THEN
                    PERFORM pg_sleep(1);
                END;
            END LOOP;
        END
        $block$
    """)


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("ALTER TABLE idempotency_keys DROP COLUMN lease_until")
