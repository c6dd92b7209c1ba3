"""Allow metadata without the repository's id: restored tasks have none. Frozen."""

from typing import Any

atomic = False  # VALIDATE would read all rows under the lock that the transaction has by then

RULE = """
    metadata_status <> 'current' OR (
        {id} repository_url IS NOT NULL AND stars IS NOT NULL
        AND archived IS NOT NULL AND metadata_fetched_at IS NOT NULL
    )
"""


def up(migrator: Any, db: Any) -> None:
    replace(db, RULE.format(id=""))
    with db.cursor() as cursor:  # it sends the statement alone
        cursor.execute("ALTER TABLE tasks VALIDATE CONSTRAINT tasks_metadata_whole")


def down(migrator: Any, db: Any) -> None:
    replace(db, RULE.format(id="repository_id IS NOT NULL AND"))  # restored tasks may break it


def replace(db: Any, rule: str) -> None:
    # While the statement waits for its lock, all others wait behind it: so it waits for a second,
    # and tries again.
    with db.cursor() as cursor:
        cursor.execute(f"""
            DO $block$
            BEGIN
                PERFORM set_config('lock_timeout', '1s', true);
                LOOP
                    BEGIN
                        ALTER TABLE tasks DROP CONSTRAINT tasks_metadata_whole;
                        ALTER TABLE tasks
                            ADD CONSTRAINT tasks_metadata_whole CHECK ({rule}) NOT VALID;
                        EXIT;
                    EXCEPTION WHEN lock_not_available THEN
                        PERFORM pg_sleep(1);
                    END;
                END LOOP;
            END
            $block$
        """)
