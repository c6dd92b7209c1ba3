"""A Flask view with one statement, under our gunicorn.conf.py: the cost of the stack alone.

gunicorn.conf.py lets psycopg2 wait cooperatively, so each concurrent request needs a connection
of its own. The view has no limit on them, no timeout, and no validation.
"""

import os
from typing import Any

import psycopg2
from flask import Flask, Response

app = Flask(__name__)
idle: list[Any] = []  # cursors without a request, each with its own connection

PREPARE = """
    PREPARE read_task AS SELECT version, row_to_json(task)::text FROM (
        SELECT id, title, description, status, priority, tags, due_date, repository,
            repository_url, repository_description, stars, language, archived, pushed_at,
            metadata_status, metadata_fetched_at, version, created_at, updated_at
        FROM tasks WHERE id = $1
    ) AS task
"""


@app.get("/tasks/<int:task_id>")
def read_task(task_id: int) -> Response:
    """Return the task, as PostgreSQL formats it."""
    cursor = idle.pop() if idle else _connect()
    cursor.execute("EXECUTE read_task (%s)", (task_id,))
    version, text = cursor.fetchone()
    idle.append(cursor)
    return Response(f"{text}\n", headers={"ETag": f'"{version}"'}, mimetype="application/json")


def _connect() -> Any:
    connection = psycopg2.connect(os.environ["DATABASE_URL"])
    connection.autocommit = True
    cursor = connection.cursor()
    cursor.execute(PREPARE)
    return cursor
