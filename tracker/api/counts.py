"""View of the numbers of tasks."""

import json
from typing import Any

from flask import Response
from marshmallow import fields, post_load

from ..tasks import counts
from ..tasks.counts import By
from .examples import COUNTS_EXAMPLE
from .failures import DATABASE, REQUEST, errors
from .fields import IsoDate, doc, one_of
from .filters import FilterSchema, parse_filters
from .parsing import Blueprint
from .tasks import json_response

task_counts = Blueprint("counts", __name__, url_prefix="/tasks", description="Numbers of tasks")

COUNTS = {
    "type": "object",
    "additionalProperties": {"type": "integer", "format": "int64", "minimum": 0},
}


class CountsQuerySchema(FilterSchema):  # type: ignore[misc, valid-type]
    """Filters, and the property by which the tasks are counted."""

    by = fields.String(required=True, validate=one_of(By), **doc("Property to count by."))
    today = IsoDate(**doc("Day of the client, for `by=due`; without it, the day in UTC."))

    @post_load
    def to_service_query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the filters apart from the rest."""
        by, today = By(data["by"]), data.get("today")
        return {"filters": parse_filters(data), "by": by, "today": today}


@task_counts.route("/counts", methods=["GET"])
@task_counts.arguments(CountsQuerySchema(), location="query")
@task_counts.response(200, COUNTS, example=COUNTS_EXAMPLE)
@errors(*REQUEST, *DATABASE, "search_too_broad")
def count_tasks(query: dict[str, Any]) -> Response:
    """Count tasks

    Of the tasks that every filter selects, the number with each status, priority or time until
    the due date, or with each of the 100 most frequent tags, languages or repositories.
    """
    found = counts.count_tasks(**query)
    return json_response(f"{json.dumps(found, ensure_ascii=False)}\n", {})
