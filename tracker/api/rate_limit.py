"""View of GitHub's rate limit."""

from typing import Any

from flask import Response, jsonify
from marshmallow import fields

from .examples import RATE_LIMIT_EXAMPLE
from .failures import GITHUB, REQUEST, errors
from .fields import QueryBoolean, doc
from .parsing import Blueprint, QuerySchema
from .schemas import ResponseSchema
from .tasks import github

rate_limit = Blueprint("rate_limit", __name__, description="GitHub's rate limit")


class RateLimitQuerySchema(QuerySchema):
    """Options of the rate limit."""

    ask = QueryBoolean(
        load_default=False,
        **doc("Ask GitHub first, unless it was asked within the last second; this costs no call."),
    )


RateLimitSchema = ResponseSchema.from_dict(
    {
        "limit": fields.Integer(
            required=True, **doc("Calls that GitHub allows.", format="int64", minimum=0)
        ),
        "remaining": fields.Integer(
            required=True, **doc("Calls that remain.", format="int64", minimum=0)
        ),
        "resets_at": fields.DateTime(required=True, **doc("When GitHub allows all of them again.")),
    },
    name="RateLimitSchema",
)
NULLABLE: Any = {"anyOf": [RateLimitSchema, {"type": "null"}]}


@rate_limit.route("/rate-limit", methods=["GET"])
@rate_limit.arguments(RateLimitQuerySchema(), location="query")
@rate_limit.response(200, NULLABLE, example=RATE_LIMIT_EXAMPLE)
@errors(*REQUEST, *GITHUB)
def get_rate_limit(query: dict[str, Any]) -> Response:
    """Get GitHub's rate limit

    It is that of the service's token, as GitHub told any worker process last, or null if it has
    told none.
    """
    status = github.rate_limit_status(**query)
    if status is None:
        return jsonify(None)
    resets_at = status.resets_at.strftime("%Y-%m-%dT%H:%M:%SZ")
    return jsonify(limit=status.limit, remaining=status.remaining, resets_at=resets_at)
