"""The tasks, over HTTP."""

from typing import Any

from flask import current_app, url_for
from flask.views import MethodView
from werkzeug.local import LocalProxy
from werkzeug.routing import IntegerConverter, Map

from . import services
from .github import GitHubClient
from .models import BIGINT_MAX, Task
from .openapi import declares
from .parser import Blueprint
from .schemas import EXAMPLE, TASK_EXAMPLE, TaskInputSchema, TaskSchema

tasks = Blueprint("tasks", __name__, url_prefix="/tasks", description="The tasks you keep")

github: GitHubClient = LocalProxy(lambda: current_app.extensions["github"])  # type: ignore

LOCATION = {"Location": {"description": "Where the task is.", "schema": {"type": "string"}}}


class TaskId(IntegerConverter):
    """The `task_id` in a path: what can't be the id of any task matches no route."""

    regex = r"[1-9][0-9]{0,18}"

    def __init__(self, map: Map) -> None:
        super().__init__(map, min=1, max=BIGINT_MAX)


@tasks.route("")
class Tasks(MethodView):
    """The collection of tasks."""

    @tasks.arguments(TaskInputSchema, example=EXAMPLE)
    @tasks.response(201, TaskSchema, example=TASK_EXAMPLE, headers=LOCATION)
    @declares(400, 413, 415, 422, 502, 503, 504)
    def post(self, fields: dict[str, Any]) -> tuple[Task, dict[str, str]]:
        """Create a task"""
        task = services.create_task(fields, github)
        return task, {"Location": url_for("tasks.TaskById", task_id=task.id)}


@tasks.route("/<task:task_id>")
class TaskById(MethodView):
    """One task."""

    @tasks.response(200, TaskSchema, example=TASK_EXAMPLE)
    @declares(404, 503)
    def get(self, task_id: int) -> Task:
        """Read a task"""
        return services.get_task(task_id)

    @tasks.arguments(TaskInputSchema, example=EXAMPLE)
    @tasks.response(200, TaskSchema, example=TASK_EXAMPLE)
    @declares(400, 404, 413, 415, 422, 502, 503, 504)
    def put(self, fields: dict[str, Any], task_id: int) -> Task:
        """Replace a task

        What is left out falls back to its default. GitHub is asked only when the repository
        changes.
        """
        return services.replace_task(task_id, fields, github)

    @tasks.response(204)
    @declares(404, 503)
    def delete(self, task_id: int) -> None:
        """Delete a task"""
        services.delete_task(task_id)
