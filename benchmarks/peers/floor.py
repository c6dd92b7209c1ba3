"""An empty Flask view: what gunicorn and Flask take before anything is done."""

from flask import Flask

app = Flask(__name__)


@app.get("/tasks/<int:task_id>")
def read_task(task_id: int) -> dict[str, int]:
    """Answer with nothing but the id."""
    return {"id": task_id}
