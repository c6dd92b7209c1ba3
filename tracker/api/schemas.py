"""Schemas: what a request may contain, and what a response contains."""

from collections.abc import Iterable
from enum import Enum
from typing import Any

import peewee
from marshmallow import Schema, ValidationError, fields, missing, post_load, pre_load, validate
from playhouse.postgres_ext import ArrayField, DateTimeTZField

from ..database.models import (
    DESCRIPTION_MAX,
    ISSUE_MAX,
    TAG_MAX,
    TAGS_MAX,
    TITLE_MAX,
    MetadataStatus,
    Priority,
    Status,
    Task,
)
from ..tasks.pagination import DEFAULT_SORT, SORTS, Cursor
from ..tasks.search import parse_search
from .fields import BoundedList, IsoDate, QueryBoolean, QueryInteger, RepositoryName, Tags, Text

LIMIT_MAX = 100  # tasks on a page
SEARCH_MAX = 200  # characters

EXAMPLE = {
    "title": "Read how Flask signals errors",
    "description": "Start at `handle_user_exception`.",
    "status": "open",
    "priority": "high",
    "tags": ["reading", "flask"],
    "due_date": "2030-01-31",
    "repository": "pallets/flask",
    "issue": 5000,
}
PATCH_EXAMPLE = {"status": "done"}
TASK_EXAMPLE = {
    "id": 1,
    **EXAMPLE,
    "repository_url": "https://github.com/pallets/flask",
    "issue_url": "https://github.com/pallets/flask/issues/5000",
    "repository_description": "The Python micro framework for building web applications.",
    "stars": 70000,
    "language": "Python",
    "archived": False,
    "pushed_at": "2025-11-02T17:08:05.000000Z",
    "topics": ["flask", "python", "web-framework"],
    "license": "BSD-3-Clause",
    "homepage": "https://flask.palletsprojects.com",
    "fork": False,
    "visibility": "public",
    "metadata_status": "current",
    "metadata_fetched_at": "2030-01-01T09:30:00.250000Z",
    "version": 1,
    "created_at": "2030-01-01T09:30:00.300000Z",
    "updated_at": "2030-01-01T09:30:00.300000Z",
}


def one_of(choices: Iterable[Enum]) -> Any:
    """Return the validator for one of the choices."""
    return validate.OneOf([choice.value for choice in choices])


def doc(described: peewee.Field | str, **metadata: Any) -> dict[str, Any]:
    """Return the metadata of a field in the OpenAPI document: a column's description, or a text."""
    text = described if isinstance(described, str) else described.help_text
    return {"metadata": {"description": text, **metadata}}


class TaskInputSchema(Schema):
    """A whole task as a client sends it; a missing field gets its default."""

    class Meta:
        unknown = "raise"

    title = Text(
        max_length=TITLE_MAX,
        trim=True,
        one_line=True,
        required=True,
        **doc(Task.title, example=EXAMPLE["title"]),
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
        **doc("GitHub repository, as `owner/name` or a URL of it.", example=EXAMPLE["repository"]),
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
        """Take the name and, unless it is given apart, the issue from the reference."""
        if reference := data.get("repository"):
            data["repository"] = reference.name
            if reference.issue is not None and "issue" not in given:
                data["issue"] = reference.issue
        return data


READ_ONLY = {column.name for column in Task.public_fields()} - TaskInputSchema().fields.keys()


class TaskPatchSchema(TaskInputSchema):
    """Changes to a task as a JSON merge patch; a missing field keeps its value."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Make each field of a whole task optional, without a default."""
        field_obj.required = False
        field_obj.load_default = missing
        field_obj.metadata = {k: v for k, v in field_obj.metadata.items() if k != "default"}


class CreateQuerySchema(Schema):
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
            r"[!-~]{1,255}\Z", error="Must be 1 to 255 visible ASCII characters."
        ),
        **doc("A unique value, with which the request can be repeated safely."),
    )


class ListQuerySchema(Schema):
    """Filters, order and page of a list."""

    status = fields.String(validate=one_of(Status), **doc("Only tasks with this status."))
    priority = fields.String(validate=one_of(Priority), **doc("Only tasks with this priority."))
    tag = BoundedList(
        Text(max_length=TAG_MAX, trim=True, one_line=True),
        max_items=TAGS_MAX,
        **doc("Only tasks with this tag. Repeat for all of several."),
    )
    repository = RepositoryName(**doc("Only tasks on this repository: `owner/name` or a URL."))
    archived = QueryBoolean(**doc("Only tasks whose repository is archived, or is not."))
    metadata_status = fields.String(
        validate=one_of(MetadataStatus), **doc("Only tasks whose metadata are in this state.")
    )
    due_before = IsoDate(**doc("Only tasks due before this day."))
    q = Text(
        max_length=SEARCH_MAX,
        **doc(
            "Words of title, description, tags, repository and its description, by their "
            'beginning; `"a phrase"`, `-excluded`, `or`.'
        ),
    )
    sort = fields.String(
        validate=validate.OneOf(SORTS),
        load_default=DEFAULT_SORT,
        **doc("Order, `-` for descending. Nulls are last; ties are ordered by id the same way."),
    )
    limit = QueryInteger(
        validate=validate.Range(min=1, max=LIMIT_MAX),
        load_default=30,
        **doc("Number of tasks on a page."),
    )
    cursor = fields.String(load_default=None, **doc('Start of the page, from `rel="next"`.'))
    total = QueryBoolean(
        load_default=False, **doc("Count the tasks of the whole list in `X-Total-Count`.")
    )

    @post_load
    def to_service_query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the filters apart from the rest, and the cursor parsed for the sort."""
        if not data.get("q"):
            data.pop("q", None)
        else:
            try:
                data["q"] = parse_search(data["q"])
            except ValueError as error:
                raise ValidationError(str(error), "q") from None
        if "repository" in data:
            data["repository"] = data["repository"].name
        query = {name: data.pop(name) for name in ("sort", "limit", "cursor", "total")}
        try:
            text = query["cursor"]
            query["cursor"] = Cursor.parse(text, query["sort"]) if text else None
        except ValueError as error:
            raise ValidationError(str(error), "cursor") from None
        return {"filters": data, **query}


def response_field(column: peewee.Field) -> fields.Field[Any]:
    """Return the field of a response for a column of the model."""
    options: dict[str, Any] = {"required": True, "allow_none": column.null, **doc(column)}
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


TaskSchema = Schema.from_dict(
    {column.name: response_field(column) for column in Task.public_fields()}, name="TaskSchema"
)


HealthSchema = Schema.from_dict({"status": fields.String(required=True)}, name="HealthSchema")
