"""Add the time at which a task became done. Frozen: later changes are migrations of their own."""

from typing import Any


def up(migrator: Any, db: Any) -> None:
    # While the statement waits for its lock, all others wait behind it: so it waits for a second,
    # and tries again. The column may be null and has no default, so no row is written.
    db.execute_sql("""
        DO $block$
        BEGIN
            PERFORM set_config('lock_timeout', '1s', true);
            LOOP
                BEGIN
                    ALTER TABLE tasks ADD COLUMN completed_at TIMESTAMPTZ,
                        ADD CONSTRAINT tasks_completed_done
                        CHECK (completed_at IS NULL OR status = 'done') NOT VALID;
                    EXIT;
                EXCEPTION WHEN lock_not_available THEN
                    PERFORM pg_sleep(1);
                END;
            END LOOP;
        END
        $block$
    """)


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("ALTER TABLE tasks DROP COLUMN completed_at")
