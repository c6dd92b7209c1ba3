"""An empty Flask view under our gunicorn.conf.py: the cost of gunicorn and Flask alone."""

from flask import Flask

app = Flask(__name__)


@app.get("/tasks/<int:task_id>")
def read_task(task_id: int) -> dict[str, int]:
    """Return the id."""
    return {"id": task_id}
