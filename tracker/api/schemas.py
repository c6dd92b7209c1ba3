"""Schemas: what a request may contain, and what a response contains."""

import re
from typing import Any

import peewee
from marshmallow import (
    EXCLUDE,
    RAISE,
    Schema,
    ValidationError,
    fields,
    missing,
    post_load,
    pre_load,
    validate,
)
from playhouse.postgres_ext import ArrayField, DateTimeTZField

from ..database.models import (
    DESCRIPTION_MAX,
    ISSUE_MAX,
    TITLE_MAX,
    Priority,
    Status,
    Task,
)
from ..tasks.pagination import Cursor
from ..tasks.sorting import DEFAULT_SORT, SORTS
from .fields import IsoDate, QueryBoolean, QueryInteger, RepositoryName, Tags, Text, doc, one_of
from .filters import FilterSchema, parse_filters
from .parsing import QuerySchema

LIMIT_MAX = 100  # tasks on a page


class TaskInputSchema(Schema):
    """A whole task as a client sends it; a missing field gets its default."""

    class Meta:
        unknown = RAISE

    error_messages = {"type": "Must be a JSON object."}

    title = Text(
        max_length=TITLE_MAX,
        trim=True,
        one_line=True,
        required=True,
        **doc(Task.title),
    )
    description = Text(
        max_length=DESCRIPTION_MAX, allow_none=True, load_default=None, **doc(Task.description)
    )
    status = fields.String(
        validate=one_of(Status), load_default=Status.OPEN.value, **doc(Task.status)
    )
    priority = fields.String(
        validate=one_of(Priority), load_default=Priority.NORMAL.value, **doc(Task.priority)
    )
    tags = Tags(load_default=list, **doc(Task.tags, default=[]))
    due_date = IsoDate(allow_none=True, load_default=None, **doc(Task.due_date))
    repository = RepositoryName(
        required=True,
        **doc("GitHub repository, as `owner/name` or a URL of it."),
    )
    issue = fields.Integer(
        strict=True,
        validate=validate.Range(1, ISSUE_MAX),
        allow_none=True,
        load_default=None,
        **doc(Task.issue),
    )

    @pre_load
    def drop_read_only(self, data: Any, **_: Any) -> Any:
        """Ignore the fields that the service sets: what GET returned can be sent back."""
        if not isinstance(data, dict):
            return data
        return {name: value for name, value in data.items() if name not in READ_ONLY}

    @post_load(pass_original=True)
    def use_reference(self, data: dict[str, Any], given: Any, **_: Any) -> dict[str, Any]:
        """Replace the reference by its name, and by its issue unless the body has one."""
        if reference := data.get("repository"):
            data["repository"] = reference.name
            if reference.issue is not None and "issue" not in given:
                data["issue"] = reference.issue
        return data


READ_ONLY = {column.name for column in Task.public_fields()} - TaskInputSchema().fields.keys()


class TaskPatchSchema(TaskInputSchema):
    """Changes to a task as a JSON merge patch; a missing field keeps its value."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Turn each field of a whole task into an optional one without a default."""
        field_obj.required = False
        field_obj.load_default = missing
        field_obj.metadata = {k: v for k, v in field_obj.metadata.items() if k != "default"}


class CreateQuerySchema(QuerySchema):
    """Options of a creation."""

    metadata_optional = fields.String(
        data_key="metadata",
        validate=validate.OneOf(["required", "optional"]),
        load_default="required",
        **doc("`optional` stores the task as `pending` where GitHub can't respond."),
    )

    @post_load
    def to_boolean(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the option as the service's parameter."""
        return {"metadata_optional": data["metadata_optional"] == "optional"}


class CreateHeadersSchema(Schema):
    """Headers of a creation."""

    key = fields.String(
        data_key="Idempotency-Key",
        validate=validate.Regexp(
            "^[!-~]{1,255}$", error="Must be 1 to 255 visible ASCII characters."
        ),
        **doc("A unique value, with which the request can be repeated safely."),
    )


class ListQuerySchema(FilterSchema):  # type: ignore[misc, valid-type]
    """Filters, order and page of a list."""

    sort = fields.String(
        validate=validate.OneOf(SORTS),
        load_default=DEFAULT_SORT,
        **doc(
            "Order, `-` for descending. Nulls are last; ties are ordered by id the same way.",
            # Without names, generators of clients number the descending ones.
            x_enum_varnames=[re.sub("^-(.*)", r"\1_descending", sort).upper() for sort in SORTS],
        ),
    )
    limit = QueryInteger(
        1,
        LIMIT_MAX,
        load_default=30,
        **doc("Number of tasks on a page."),
    )
    cursor = fields.String(**doc('Start of the page, from `rel="next"`.'))
    total = QueryBoolean(
        load_default=False, **doc("Count the tasks of the whole list in `X-Total-Count`.")
    )

    @post_load
    def to_service_query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the filters apart from the rest, and the cursor parsed for the sort."""
        query = {name: data.get(name) for name in ("sort", "limit", "cursor", "total")}
        try:
            text = query["cursor"]
            query["cursor"] = Cursor.parse(text, data["sort"]) if text else None
        except ValueError as error:
            raise ValidationError(str(error), "cursor") from None
        return {"filters": parse_filters(data), **query}


def response_field(column: peewee.Field) -> fields.Field[Any]:
    """Return the field of a response for a column of the model."""
    options: dict[str, Any] = {"required": True, "allow_none": column.null, **doc(column)}
    if column.name in READ_ONLY:
        options["metadata"]["readOnly"] = True
    if column.choices:
        return fields.String(validate=one_of(column.choices), **options)
    if isinstance(column, peewee.BigIntegerField | peewee.BigAutoField):
        options["metadata"] |= {"format": "int64", "minimum": 0}
        return fields.Integer(**options)
    if isinstance(column, ArrayField):
        return fields.List(fields.String(), **options)
    types: dict[type, type[fields.Field[Any]]] = {
        peewee.BooleanField: fields.Boolean,
        peewee.DateField: fields.Date,
        DateTimeTZField: fields.DateTime,
        peewee.TextField: fields.String,
    }
    return types[type(column)](**options)


class ResponseSchema(Schema):
    """A response; a later version may have more members."""

    class Meta:
        unknown = EXCLUDE


TaskSchema = ResponseSchema.from_dict(
    {column.name: response_field(column) for column in Task.public_fields()}, name="TaskSchema"
)


HealthSchema = ResponseSchema.from_dict(
    {"status": fields.String(required=True, **doc("Always `ok`."))}, name="HealthSchema"
)
