"""Views of the repositories that have tasks."""

import re
from typing import Any

from flask import Response, jsonify
from marshmallow import ValidationError, fields, post_load, validate

from ..database.models import Status
from ..tasks import repository_pages
from ..tasks.repository_filters import DEFAULT_SORT, REPOSITORY_FILTERS, SORTS
from ..tasks.repository_pages import RepositoryCursor
from ..tasks.repository_rows import FIELDS
from .examples import REPOSITORY_EXAMPLE
from .failures import DATABASE, GITHUB, REQUEST, errors
from .fields import QueryInteger, doc
from .filters import filter_field
from .parsing import Blueprint, QuerySchema
from .schemas import LIMIT_MAX, ResponseSchema, response_field
from .tasks import github
from .urls import page_links

repositories = Blueprint(
    "repositories", __name__, url_prefix="/repositories", description="Repositories with tasks"
)

LINK = {"Link": "Link"}
REPOSITORY = (*REQUEST, *DATABASE, "no_tasks_on_repository")

FilterSchema = QuerySchema.from_dict(
    {name: filter_field(declared) for name, declared in REPOSITORY_FILTERS.items()},
    name="RepositoryFilterSchema",
)


class RepositoryQuerySchema(FilterSchema):  # type: ignore[misc, valid-type]
    """Filters, order and page of a list of repositories."""

    sort = fields.String(
        validate=validate.OneOf(SORTS),
        load_default=DEFAULT_SORT,
        **doc(
            "Order, `-` for descending. Nulls are last; ties have an order of their own.",
            # Without names, generators of clients number the descending ones.
            x_enum_varnames=[re.sub("^-(.*)", r"\1_descending", sort).upper() for sort in SORTS],
        ),
    )
    limit = QueryInteger(
        1,
        LIMIT_MAX,
        load_default=30,
        **doc("Number of repositories on a page."),
    )
    cursor = fields.String(**doc('Start of the page, from `rel="next"`.'))

    @post_load
    def to_service_query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the filters apart from the rest, and the cursor parsed for the sort."""
        sort, limit, text = data.pop("sort"), data.pop("limit"), data.pop("cursor", "")
        try:
            cursor = RepositoryCursor.parse(text, sort) if text else None
        except ValueError as error:
            raise ValidationError(str(error), "cursor") from None
        return {"filters": data, "sort": sort, "limit": limit, "cursor": cursor}


TaskCountSchema = ResponseSchema.from_dict(
    {
        status.value: fields.Integer(
            required=True, **doc("Number of tasks with this status.", format="int64", minimum=0)
        )
        for status in Status
    },
    name="TaskCountSchema",
)
RepositorySchema = ResponseSchema.from_dict(
    {
        **{name: response_field(column) for name, column in FIELDS.items()},
        "tasks": fields.Nested(TaskCountSchema, required=True, **doc("Its tasks by status.")),
    },
    name="RepositorySchema",
)


@repositories.route("", methods=["GET"])
@repositories.arguments(RepositoryQuerySchema(), location="query")
@repositories.response(200, RepositorySchema(many=True), example=[REPOSITORY_EXAMPLE], headers=LINK)
@errors(*REQUEST, *DATABASE)
def list_repositories(query: dict[str, Any]) -> Response:
    """List repositories

    The list has the repositories that have tasks and that every filter selects, each with its
    newest metadata. Follow `rel="next"` in `Link` for the next page.
    """
    page = repository_pages.list_repositories(**query)
    response = jsonify(page.repositories)
    response.headers.update(page_links(page.next))
    return response


@repositories.route("/<owner>/<name>", methods=["GET"])
@repositories.response(200, RepositorySchema, example=REPOSITORY_EXAMPLE)
@errors(*REPOSITORY)
def get_repository(owner: str, name: str) -> Response:
    """Get a repository

    It is found by its present name, or by one that it had before.
    """
    return jsonify(repository_pages.read_repository(f"{owner}/{name}"))


@repositories.route("/<owner>/<name>/refresh", methods=["POST"])
@repositories.response(200, RepositorySchema, example=REPOSITORY_EXAMPLE)
@errors(*REPOSITORY, *GITHUB)
def refresh_repository(owner: str, name: str) -> Response:
    """Refresh a repository's metadata

    GitHub is called now, and every task on the repository gets the metadata. A repository that
    is gone keeps its last known metadata and becomes `unavailable`.
    """
    return jsonify(repository_pages.refresh_repository(f"{owner}/{name}", github))
