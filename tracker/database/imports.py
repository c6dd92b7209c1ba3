"""Statements that import tasks, for a transaction on the checked-out connection."""

from collections.abc import Collection

from .connection import database
from .models import IdempotencyKey, Task


def any_exists() -> bool:
    """Return whether there is a task."""
    return bool(Task.select().exists())


def insert_tasks(rows: str, names: Collection[str]) -> int:
    """Store new tasks, in their order; return how many.

    `rows` is a JSON array of objects with values for the columns of these names. COPY would be
    quicker, but psycopg2 refuses it under a wait callback.
    """
    columns = ", ".join(names)
    types = ", ".join(f"{name} {_type(name)}" for name in names)
    insert = f"INSERT INTO tasks ({columns}) SELECT {columns} FROM json_to_recordset(%s)"  # noqa: S608
    return int(database.execute_sql(f"{insert} AS row ({types})", (rows,)).rowcount)


def skip_ids(last: int) -> None:
    """Set the sequence of ids behind the last one; a rollback does not undo that."""
    behind = "SELECT setval('tasks_id_seq', %s) FROM tasks_id_seq WHERE last_value <= %s"
    database.execute_sql(behind, (last, last))


def forget_created() -> None:
    """Delete the idempotency keys that name a task, which a restored one could replace."""
    IdempotencyKey.delete().where(IdempotencyKey.task_id.is_null(False)).execute()


def _type(name: str) -> str:
    context = database.get_sql_context()
    sql: str = context.sql(getattr(Task, name).ddl_datatype(context)).query()[0]
    return sql.replace("BIGSERIAL", "BIGINT")
