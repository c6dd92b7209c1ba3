"""Views of the tasks."""

import re
from typing import Any

from flask import Response, current_app, request, url_for
from flask_smorest import abort
from werkzeug.datastructures import ETags
from werkzeug.local import LocalProxy
from werkzeug.routing import IntegerConverter, Map

from ..database.models import BIGINT_MAX
from ..database.queries import TaskJSON
from ..errors import TaskNotFound
from ..github.client import GitHubClient
from ..tasks import lists, loader, repositories, service
from ..tasks.pagination import Page
from .examples import EXAMPLE, PATCH_EXAMPLE, PATCHED_EXAMPLE, TASK_EXAMPLE
from .failures import CONDITION, DATABASE, GITHUB, JSON_BODY, REQUEST, TASK, errors
from .parsing import Blueprint
from .schemas import (
    CreateHeadersSchema,
    CreateQuerySchema,
    ListQuerySchema,
    TaskInputSchema,
    TaskPatchSchema,
    TaskSchema,
)
from .urls import empty_response, page_links

tasks = Blueprint("tasks", __name__, url_prefix="/tasks", description="Tasks")

github: GitHubClient = LocalProxy(lambda: current_app.extensions["github"])  # type: ignore

VERSION = re.compile("[1-9][0-9]{0,18}", re.ASCII)
ID_SHOWN_MAX = 20  # digits of an id in an error
# A version in an ETag, with the mark that a proxy appends where it compresses the response.
ETAG_VERSION = re.compile(f"({VERSION.pattern})(-gzip|-br|-zstd|-deflate)?", re.ASCII)
# Only the client may keep a copy of a task, and it must check the ETag before each use.
REVALIDATE = {"Cache-Control": "private, no-cache"}


def condition(name: str, description: str) -> dict[str, Any]:
    """Return a conditional request header for the OpenAPI document."""
    schema = {"type": "string"}
    return {"in": "header", "name": name, "schema": schema, "description": description}


# Response headers, by the names of their components in the OpenAPI document.
ETAG = {"ETag": "ETag"}
CREATE_HEADERS = {name: name for name in ("ETag", "Location", "Idempotency-Replayed")}
LIST_HEADERS = {name: name for name in ("Link", "X-Total-Count", "X-Total-Count-Estimated")}
IF_MATCH = condition(
    "If-Match", "Change or delete the task only if it has this `ETag`; otherwise 412."
)
IF_NONE_MATCH = condition("If-None-Match", "Return 304 without a body if the task has this `ETag`.")
MERGE_PATCH = {
    "content": {
        "application/merge-patch+json": {"schema": TaskPatchSchema, "example": PATCH_EXAMPLE}
    }
}


class TaskIdConverter(IntegerConverter):
    """The `task_id` in a path."""

    regex = "0|[1-9][0-9]*"

    def __init__(self, map: Map) -> None:
        super().__init__(map, min=1, max=BIGINT_MAX)

    def to_python(self, value: str) -> int:
        """Return the id; a ValidationError, as usual here, would lead to a 405 for some methods."""
        if not VERSION.fullmatch(value) or int(value) > BIGINT_MAX:  # an id has the same digits
            shown = value if len(value) <= ID_SHOWN_MAX else f"{value[:ID_SHOWN_MAX]}..."
            abort(404, message=str(TaskNotFound(shown)), reason=TaskNotFound.reason)
        return int(value)


@tasks.route("", methods=["GET"])
@tasks.arguments(ListQuerySchema(), location="query")
@tasks.response(200, TaskSchema(many=True), example=[TASK_EXAMPLE], headers=LIST_HEADERS)
@errors(*REQUEST, *DATABASE, "search_too_broad")
def list_tasks(query: dict[str, Any]) -> Response:
    """List tasks

    The list has the tasks that every filter selects. Follow `rel="next"` in `Link` for the next
    page: paging never skips or repeats a task, even during inserts.
    """
    page = lists.list_tasks(query)
    return json_response(f"[{','.join(page.rows)}]\n", list_headers(page))


@tasks.route("", methods=["POST"])
@tasks.arguments(TaskInputSchema(), example=EXAMPLE)
@tasks.arguments(CreateQuerySchema(), location="query")
@tasks.arguments(CreateHeadersSchema(), location="headers")
@tasks.response(201, TaskSchema, example=TASK_EXAMPLE, headers=CREATE_HEADERS)
@errors(
    *REQUEST,
    *JSON_BODY,
    *GITHUB,
    *DATABASE,
    "media_type_not_supported",
    "created_task_deleted",
    "repository_not_found",
    "idempotency_key_reused",
    "idempotency_key_in_progress",
)
def create_task(fields: dict[str, Any], query: dict[str, Any], headers: dict[str, Any]) -> Response:
    """Create a task

    With an `Idempotency-Key`, a repeated request with the same body gets the first one's task,
    and GitHub is not called. A key is kept for seven days, even if its task is deleted: a
    repeated request is then a 404. A failed request releases its key.
    """
    task, replayed = service.create_task(fields, github, **query, **headers)
    response = task_response(task, 201)
    response.headers["Location"] = url_for("tasks.get_task", task_id=task.id)
    if replayed:
        response.headers["Idempotency-Replayed"] = "true"
    return response


@tasks.route("/<task:task_id>", methods=["GET"])
@tasks.response(200, TaskSchema, example=TASK_EXAMPLE, headers=ETAG)
@tasks.alt_response(304, description="The task has the `ETag` of If-None-Match.", headers=ETAG)
@tasks.doc(parameters=[IF_NONE_MATCH])
@errors(*TASK)
def get_task(task_id: int) -> Response:
    """Get a task

    The response's `ETag` is for If-None-Match in a later request, and for If-Match in a change.
    """
    task = loader.read_task(task_id)
    if "HTTP_IF_NONE_MATCH" in request.environ:  # without it nothing is parsed
        tags = request.if_none_match
        if tags.star_tag or task.version in versions(tags):
            return Response(status=304, headers={"ETag": task.etag, **REVALIDATE})
    return task_response(task)


@tasks.route("/<task:task_id>", methods=["PUT"])
@tasks.arguments(TaskInputSchema(), example=EXAMPLE)
@tasks.response(200, TaskSchema, example=TASK_EXAMPLE, headers=ETAG)
@tasks.doc(parameters=[IF_MATCH])
@errors(*TASK, *CONDITION, *JSON_BODY, *GITHUB, "media_type_not_supported", "repository_not_found")
def replace_task(fields: dict[str, Any], task_id: int) -> Response:
    """Replace a task

    A missing field gets its default. GitHub is called only if the repository changes, or if its
    metadata are not `current`.
    """
    return task_response(service.edit_task(task_id, fields, github, if_match()))


@tasks.route("/<task:task_id>", methods=["PATCH"])
@tasks.arguments(TaskPatchSchema(), example=PATCH_EXAMPLE)
@tasks.response(200, TaskSchema, example=PATCHED_EXAMPLE, headers=ETAG)
@tasks.doc(parameters=[IF_MATCH], requestBody=MERGE_PATCH)
@errors(*TASK, *CONDITION, *JSON_BODY, *GITHUB, "patch_type_not_supported", "repository_not_found")
def update_task(fields: dict[str, Any], task_id: int) -> Response:
    """Update a task

    A JSON merge patch: a missing field keeps its value. GitHub is called only if the patch has a
    repository, and that is another one or its metadata are not `current`.
    """
    return task_response(service.edit_task(task_id, fields, github, if_match()))


@tasks.route("/<task:task_id>", methods=["DELETE"])
@tasks.response(204)
@tasks.doc(parameters=[IF_MATCH])
@errors(*TASK, *CONDITION)
def delete_task(task_id: int) -> Response:
    """Delete a task

    An `Idempotency-Key` that created the task stays in use.
    """
    service.delete_task(task_id, if_match())
    return empty_response(204)


@tasks.route("/<task:task_id>/refresh", methods=["POST"])
@tasks.response(200, TaskSchema, example=TASK_EXAMPLE, headers=ETAG)
@errors(*TASK, *GITHUB)
def refresh_task(task_id: int) -> Response:
    """Refresh a task's metadata

    GitHub is called now, and every task on the repository gets the metadata. A repository that
    is gone keeps its last known metadata and becomes `unavailable`.
    """
    return task_response(repositories.refresh_task(task_id, github))


def task_response(task: TaskJSON, status: int = 200) -> Response:
    """Return the response with a task and its ETag."""
    return json_response(f"{task.json}\n", {"ETag": task.etag, **REVALIDATE}, status)


def json_response(text: str, headers: dict[str, str], status: int = 200) -> Response:
    """Return the response with a text that is JSON already."""
    return Response(text, status, headers, content_type="application/json")


def if_match() -> list[int] | None:
    """Return the versions that the request's If-Match names, or None for any version.

    A weak tag counts, against RFC 9110, section 13.1.1: a proxy weakens ours where it compresses
    the response, and a version stands for the same task in any encoding.
    """
    if "HTTP_IF_MATCH" not in request.environ or request.if_match.star_tag:
        return None
    named = versions(request.if_match)
    if None in named or not named:
        message = 'Takes ETags of a task, such as "3", or *.'
        abort(422, errors={"headers": {"If-Match": [message]}})
    return [version for version in named if version]


def versions(tags: ETags) -> set[int | None]:
    """Return the version that each tag names, and None for tags that name none."""
    matches = [ETAG_VERSION.fullmatch(tag or "") for tag in tags.as_set(include_weak=True)]
    return {int(m[1]) if m and int(m[1]) <= BIGINT_MAX else None for m in matches}


def list_headers(page: Page) -> dict[str, str]:
    """Return the headers of a page of a list."""
    headers = page_links(page.next)
    if page.total is not None:
        headers["X-Total-Count"] = str(page.total.number)
        if page.total.estimated:
            headers["X-Total-Count-Estimated"] = "true"
    return headers
