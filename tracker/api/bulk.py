"""Views that change or delete many tasks at once."""

from typing import Any

from flask import request
from flask_smorest import abort

from ..tasks import bulk
from .bulk_schemas import BulkPatchSchema, BulkQuerySchema, BulkSchema
from .examples import BULK_EXAMPLE, BULK_PATCH_EXAMPLE
from .failures import DATABASE, JSON_BODY, REQUEST, errors
from .parsing import Blueprint

bulk_tasks = Blueprint("bulk", __name__, url_prefix="/tasks", description="Many tasks at once")

BULK = (*REQUEST, *DATABASE, "unexpected_matches")
MERGE_PATCH = {
    "content": {
        "application/merge-patch+json": {"schema": BulkPatchSchema, "example": BULK_PATCH_EXAMPLE}
    }
}


@bulk_tasks.route("", methods=["PATCH"])
@bulk_tasks.arguments(BulkPatchSchema(), example=BULK_PATCH_EXAMPLE)
@bulk_tasks.arguments(BulkQuerySchema(), location="query")
@bulk_tasks.response(200, BulkSchema, example=BULK_EXAMPLE)
@bulk_tasks.doc(requestBody=MERGE_PATCH)
@errors(*BULK, *JSON_BODY, "patch_type_not_supported", "too_many_tags")
def update_tasks(fields: dict[str, Any], query: dict[str, Any]) -> dict[str, int]:
    """Update many tasks

    Every task that the filters select gets the change, or none of them does. At least one filter
    is required. A task that has the values already is not changed.
    """
    refuse_if_match()
    return bulk.update_tasks(**query, fields=fields)._asdict()


@bulk_tasks.route("", methods=["DELETE"])
@bulk_tasks.arguments(BulkQuerySchema(), location="query")
@bulk_tasks.response(200, BulkSchema, example=BULK_EXAMPLE)
@errors(*BULK)
def delete_tasks(query: dict[str, Any]) -> dict[str, int]:
    """Delete many tasks

    Every task that the filters select is deleted, or none of them is. At least one filter is
    required.
    """
    refuse_if_match()
    return bulk.delete_tasks(**query)._asdict()


def refuse_if_match() -> None:
    """Abort with 422 if the request has an If-Match: it names the version of one task."""
    if "If-Match" in request.headers:
        message = "Is for one task; give the number of tasks as the parameter expect."
        abort(422, errors={"headers": {"If-Match": [message]}})
