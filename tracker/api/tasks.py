"""The tasks, over HTTP."""

import re
from typing import Any
from urllib.parse import urlencode

from flask import Response, current_app, request, url_for
from flask.views import MethodView
from werkzeug.local import LocalProxy
from werkzeug.routing import IntegerConverter, Map

from tracker.api.openapi import declares
from tracker.api.parsing import Blueprint
from tracker.api.schemas import (
    EXAMPLE,
    PATCH_EXAMPLE,
    TASK_EXAMPLE,
    CreateHeadersSchema,
    CreateQuerySchema,
    ListQuerySchema,
    TaskInputSchema,
    TaskPatchSchema,
    TaskSchema,
)
from tracker.database.models import BIGINT_MAX, StoredTask
from tracker.github.client import GitHubClient
from tracker.tasks import service as services
from tracker.tasks.pagination import Page

tasks = Blueprint("tasks", __name__, url_prefix="/tasks", description="The tasks you keep")

github: GitHubClient = LocalProxy(lambda: current_app.extensions["github"])  # type: ignore

REPLAYED = "Idempotency-Replayed"


def _header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


ETAG = {"ETag": _header("The task's version, for If-Match and If-None-Match.")}
CREATE_HEADERS = {
    **ETAG,
    "Location": _header("Where the task is."),
    REPLAYED: _header("`true` where an earlier request with the key created it."),
}
LIST_HEADERS = {
    "Link": _header('The next page, as `<URL>; rel="next"`, where there is one.'),
    "X-Total-Count": _header("How many tasks the filters let through, with `total=true`."),
}
IF_MATCH = {
    "in": "header",
    "name": "If-Match",
    "schema": {"type": "string"},
    "description": "Do it only if the task still has this `ETag`; otherwise 412.",
}
IF_NONE_MATCH = {
    "in": "header",
    "name": "If-None-Match",
    "schema": {"type": "string"},
    "description": "Answer 304, without the task, if it still has this `ETag`.",
}
MERGE_PATCH = {
    "content": {
        "application/merge-patch+json": {"schema": {"$ref": "#/components/schemas/TaskPatch"}}
    }
}


VERSION = re.compile("[1-9][0-9]{0,18}", re.ASCII)


class TaskId(IntegerConverter):
    """The `task_id` in a path: what can't be the id of any task matches no route."""

    regex = VERSION.pattern

    def __init__(self, map: Map) -> None:
        super().__init__(map, min=1, max=BIGINT_MAX)


@tasks.route("")
class Tasks(MethodView):
    """The collection of tasks."""

    init_every_request = False

    @tasks.arguments(ListQuerySchema(), location="query")
    @tasks.response(200, TaskSchema(many=True), headers=LIST_HEADERS)
    @declares(401, 422, 503)
    def get(self, query: dict[str, Any]) -> Response:
        """List tasks

        Filters narrow the list together. Follow `rel="next"` in `Link` for the next page: so each
        task is met once, whatever is inserted meanwhile.
        """
        page = services.list_tasks(query)
        return _json(f"[{','.join(page.tasks)}]\n", _list_headers(page))

    @tasks.arguments(TaskInputSchema(), example=EXAMPLE)
    @tasks.arguments(CreateQuerySchema(), location="query")
    @tasks.arguments(CreateHeadersSchema(), location="headers")
    @tasks.response(201, TaskSchema, example=TASK_EXAMPLE, headers=CREATE_HEADERS)
    @declares(401, 403, 404, 413, 415, 422, 502, 503, 504)
    def post(
        self, fields: dict[str, Any], query: dict[str, Any], headers: dict[str, Any]
    ) -> Response:
        """Create a task

        With an `Idempotency-Key`, a repeat with the same body answers the task of the first
        request and asks GitHub nothing. A key is remembered for seven days, even if its task is
        deleted: a repeat is then a 404. A failed request frees its key.
        """
        task, replayed = services.create_task(fields, github, **query, **headers)
        location = {"Location": url_for("tasks.TaskById", task_id=task.id)}
        return _task(task, 201, **location, **({REPLAYED: "true"} if replayed else {}))


@tasks.route("/<task:task_id>")
class TaskById(MethodView):
    """One task."""

    init_every_request = False

    @tasks.response(200, TaskSchema, example=TASK_EXAMPLE, headers=ETAG)
    @tasks.alt_response(304, description="It still has the `ETag` of If-None-Match.", headers=ETAG)
    @tasks.doc(parameters=[IF_NONE_MATCH])
    @declares(401, 404, 503)
    def get(self, task_id: int) -> Response:
        """Read a task"""
        task = services.read_task(task_id)
        if _is_known(task):
            return Response(status=304, headers={"ETag": task.etag})
        return _task(task)

    @tasks.arguments(TaskInputSchema(), example=EXAMPLE)
    @tasks.response(200, TaskSchema, example=TASK_EXAMPLE, headers=ETAG)
    @tasks.doc(parameters=[IF_MATCH])
    @declares(401, 403, 404, 412, 413, 415, 422, 502, 503, 504)
    def put(self, fields: dict[str, Any], task_id: int) -> Response:
        """Replace a task

        What is left out falls back to its default. GitHub is asked only when the repository
        changes.
        """
        return _task(services.edit_task(task_id, fields, github, _if_match()))

    @tasks.arguments(TaskPatchSchema(), example=PATCH_EXAMPLE)
    @tasks.response(200, TaskSchema, example=TASK_EXAMPLE, headers=ETAG)
    @tasks.doc(parameters=[IF_MATCH], requestBody=MERGE_PATCH)
    @declares(401, 403, 404, 412, 413, 415, 422, 502, 503, 504)
    def patch(self, fields: dict[str, Any], task_id: int) -> Response:
        """Change a task

        A JSON merge patch: what is left out stays. GitHub is asked only when the repository
        changes.
        """
        return _task(services.edit_task(task_id, fields, github, _if_match()))

    @tasks.response(204)
    @tasks.doc(parameters=[IF_MATCH])
    @declares(401, 403, 404, 412, 503)
    def delete(self, task_id: int) -> Response:
        """Delete a task"""
        services.delete_task(task_id, _if_match())
        return Response(status=204)


@tasks.route("/<task:task_id>/refresh", methods=["POST"])
@tasks.response(200, TaskSchema, example=TASK_EXAMPLE, headers=ETAG)
@declares(401, 403, 404, 502, 503, 504)
def refresh(task_id: int) -> Response:
    """Refresh a task's metadata

    GitHub is asked now, and every task on the repository gets what it says. A repository that is
    gone keeps its last known metadata and becomes `unavailable`.
    """
    return _task(services.refresh_task(task_id, github))


def _task(task: StoredTask, status: int = 200, **headers: str) -> Response:
    return _json(f"{task.json}\n", {"ETag": task.etag, **headers}, status)


def _json(text: str, headers: dict[str, str], status: int = 200) -> Response:
    return Response(text, status, headers, content_type="application/json")


def _is_known(task: StoredTask) -> bool:
    """Tell whether the request's If-None-Match names the task as it is."""
    if "If-None-Match" not in request.headers:
        return False
    return request.if_none_match.contains_weak(str(task.version))  # RFC 9110, section 13.1.2


def _if_match() -> list[int] | None:
    """Give the versions that the request's If-Match names; None where any will do."""
    if "If-Match" not in request.headers or request.if_match.star_tag:
        return None
    tags = filter(None, request.if_match.as_set())  # no weak ones: RFC 9110, section 13.1.1
    return [int(tag) for tag in tags if VERSION.fullmatch(tag) and int(tag) <= BIGINT_MAX]


def _list_headers(page: Page) -> dict[str, str]:
    headers = {}
    if page.next:
        others = [pair for pair in request.args.items(multi=True) if pair[0] != "cursor"]
        query = urlencode([*others, ("cursor", str(page.next))])
        # Not request.base_url, which takes its time to be an IRI: no header may hold that.
        here = f"{request.scheme}://{request.host}{request.script_root}{request.path}"
        headers["Link"] = f'<{here}?{query}>; rel="next"'
    if page.total is not None:
        headers["X-Total-Count"] = str(page.total)
    return headers
