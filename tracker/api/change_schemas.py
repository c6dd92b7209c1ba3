"""Schemas of the changes on GitHub, and of a repository's stars."""

from typing import Any

from marshmallow import ValidationError, fields, post_load

from ..database.changes import Change, ChangeKind, StarCount
from ..tasks.changes import COLUMNS, SORT
from ..tasks.pagination import Cursor
from .fields import QueryInteger, Repeated, RepositoryName, Time, doc, one_of
from .parsing import QuerySchema
from .schemas import LIMIT_MAX, ResponseSchema, response_field


class FeedQuerySchema(QuerySchema):
    """Filters of the changes."""

    since = Time(**doc("Only changes that GitHub sent at this time or later."))
    repository = RepositoryName(
        **doc("Only changes of this repository: `owner/name` or a URL, now or formerly.")
    )
    kind = Repeated(
        fields.String(validate=one_of(ChangeKind)),
        max_items=len(ChangeKind),
        **doc("Only changes of this kind. Repeat for any of several."),
    )
    limit = QueryInteger(
        1,
        LIMIT_MAX,
        load_default=30,
        **doc("Number of changes on a page."),
    )

    @post_load
    def to_service_query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the service's parameters."""
        if "kind" in data:
            data["kinds"] = data.pop("kind")
        if "repository" in data:
            data["repository"] = data["repository"].name
        return data


class ChangesQuerySchema(FeedQuerySchema):
    """Filters and page of the list of changes."""

    cursor = fields.String(**doc('Start of the page, from `rel="next"`.'))

    @post_load
    def parse_cursor(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Parse the cursor; an empty one counts as absent."""
        try:
            text = data.pop("cursor", "")
            return {**data, "cursor": Cursor.parse(text, SORT, COLUMNS) if text else None}
        except ValueError as error:
            raise ValidationError(str(error), "cursor") from None


class Fact(fields.Raw):
    """A value of a task's field: text, a boolean, or null."""

    def __init__(self, column: Any) -> None:
        described = doc(column, type=["string", "boolean"])  # and null, as allow_none adds
        super().__init__(required=True, allow_none=True, **described)


ChangeSchema = ResponseSchema.from_dict(
    {
        column.name: Fact(column) if column.name in {"before", "after"} else response_field(column)
        for column in Change.public_fields()
    },
    name="ChangeSchema",
)

StarsSchema = ResponseSchema.from_dict(
    {
        "date": fields.Date(required=True, **doc(StarCount.date)),
        "stars": fields.Integer(required=True, **doc(StarCount.stars, format="int64", minimum=0)),
    },
    name="StarsSchema",
)
