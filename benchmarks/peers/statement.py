"""A Flask view of one statement: what gunicorn, Flask, psycopg2 and PostgreSQL take by themselves.

It has no pool, no bound on what it waits for, and no check of the request: as little as can be.
"""

import os
import threading
from typing import Any

import psycopg2
from flask import Flask, Response

app = Flask(__name__)
local = threading.local()


@app.get("/tasks/<int:task_id>")
def read_task(task_id: int) -> Response:
    """Answer with the task's JSON, as our table keeps it."""
    cursor = _cursor()
    cursor.execute("EXECUTE read_task (%s)", (task_id,))
    version, text = cursor.fetchone()
    return Response(f"{text}\n", headers={"ETag": f'"{version}"'}, mimetype="application/json")


def _cursor() -> Any:
    """Give the thread's own cursor, on a connection that is never closed."""
    if not hasattr(local, "cursor"):
        connection = psycopg2.connect(os.environ["DATABASE_URL"])
        connection.autocommit = True
        local.cursor = connection.cursor()
        local.cursor.execute("PREPARE read_task AS SELECT version, json FROM tasks WHERE id = $1")
    return local.cursor
