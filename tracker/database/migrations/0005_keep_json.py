"""Each task as the API answers it, kept with its row: a page of them is read, not made.

To change what a task has, drop the column and the function, and make them anew.
"""

from typing import Any

COLUMNS = {
    "id": "bigint",
    "title": "text",
    "description": "text",
    "status": "text",
    "priority": "text",
    "tags": "text[]",
    "due_date": "date",
    "repository": "text",
    "repository_url": "text",
    "repository_description": "text",
    "stars": "bigint",
    "language": "text",
    "archived": "boolean",
    "pushed_at": "timestamptz",
    "metadata_status": "text",
    "metadata_fetched_at": "timestamptz",
    "version": "bigint",
    "created_at": "timestamptz",
    "updated_at": "timestamptz",
}
MOMENT = """to_char({0} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') AS {0}"""


def up(migrator: Any, db: Any) -> None:
    parameters = ", ".join(f"{name} {kind}" for name, kind in COLUMNS.items())
    values = ", ".join(
        MOMENT.format(name) if kind == "timestamptz" else name for name, kind in COLUMNS.items()
    )
    # IMMUTABLE, as a generated column needs it: these formats heed no setting of the server.
    db.execute_sql(f"""
        CREATE FUNCTION task_json({parameters}) RETURNS text
        LANGUAGE plpgsql IMMUTABLE PARALLEL SAFE AS $$
        BEGIN
            RETURN row_to_json((SELECT task FROM (SELECT {values}) AS task))::text;
        END
        $$
    """)  # noqa: S608
    db.execute_sql(f"""
        ALTER TABLE tasks ADD COLUMN json TEXT NOT NULL
        GENERATED ALWAYS AS (task_json({", ".join(COLUMNS)})) STORED
    """)


def down(migrator: Any, db: Any) -> None:
    db.execute_sql("ALTER TABLE tasks DROP COLUMN json")
    db.execute_sql("DROP FUNCTION task_json")
