"""What a request may say and what an answer holds."""

from typing import Any

from marshmallow import RAISE, Schema, ValidationError, fields, missing, post_load, validate

from tracker.api.fields import Flag, IsoDate, Number, RepositoryName, Tags, Text, Timestamp
from tracker.database.models import (
    DESCRIPTION_MAX,
    TAG_MAX,
    TAGS_MAX,
    TITLE_MAX,
    MetadataStatus,
    Priority,
    Status,
)
from tracker.tasks.pagination import DEFAULT_SORT, SORTS, Cursor, search_words

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
}
PATCH_EXAMPLE = {"status": "done"}
TASK_EXAMPLE = {
    "id": 1,
    **EXAMPLE,
    "repository_url": "https://github.com/pallets/flask",
    "repository_description": "The Python micro framework for building web applications.",
    "stars": 70000,
    "language": "Python",
    "archived": False,
    "pushed_at": "2025-11-02T17:08:05.000000Z",
    "metadata_status": "current",
    "metadata_fetched_at": "2030-01-01T09:30:00.250000Z",
    "version": 1,
    "created_at": "2030-01-01T09:30:00.300000Z",
    "updated_at": "2030-01-01T09:30:00.300000Z",
}


def _choice(choices: type[Status] | type[Priority] | type[MetadataStatus]) -> Any:
    return validate.OneOf([choice.value for choice in choices])


def _about(description: str, **metadata: Any) -> dict[str, Any]:
    return {"description": description, **metadata}


class TaskInputSchema(Schema):
    """A whole task as its user writes it; what is left out gets its default."""

    class Meta:
        unknown = RAISE

    title = Text(
        longest=TITLE_MAX,
        trimmed=True,
        one_line=True,
        required=True,
        metadata=_about("What is to be done, in one line.", example=EXAMPLE["title"]),
    )
    description = Text(
        longest=DESCRIPTION_MAX,
        allow_none=True,
        load_default=None,
        metadata=_about("More about it, in as many lines as it takes."),
    )
    status = fields.String(
        validate=_choice(Status), load_default=Status.OPEN.value, metadata=_about("How far it is.")
    )
    priority = fields.String(
        validate=_choice(Priority),
        load_default=Priority.NORMAL.value,
        metadata=_about("How much it matters."),
    )
    tags = Tags(
        load_default=list, metadata=_about("Words to find it by; repeats are dropped.", default=[])
    )
    due_date = IsoDate(
        allow_none=True, load_default=None, metadata=_about("The day it should be done by.")
    )
    repository = RepositoryName(
        required=True,
        metadata=_about(
            "The GitHub repository it is about: `owner/name` or a URL.",
            example=EXAMPLE["repository"],
        ),
    )


class TaskPatchSchema(TaskInputSchema):
    """Changes of a task as a JSON merge patch; what is left out stays."""

    def on_bind_field(self, field_name: str, field_obj: fields.Field[Any]) -> None:
        """Take each field of a whole task as one that may be left out."""
        field_obj.required = False
        field_obj.load_default = missing
        field_obj.metadata = {k: v for k, v in field_obj.metadata.items() if k != "default"}


class CreateQuerySchema(Schema):
    """How to create a task."""

    optional = fields.String(
        data_key="metadata",
        validate=validate.OneOf(["required", "optional"]),
        load_default="required",
        metadata=_about("`optional`: where GitHub can't answer, store the task as `pending`."),
    )

    @post_load
    def decide(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Turn the word into what the service takes."""
        return {"optional": data["optional"] == "optional"}


class CreateHeadersSchema(Schema):
    """The headers that matter in creating a task."""

    key = fields.String(
        data_key="Idempotency-Key",
        validate=validate.Regexp(
            r"[!-~]{1,255}\Z", error="Must be 1 to 255 visible ASCII characters."
        ),
        metadata=_about("A word of your own, to repeat the request safely with."),
    )


class ListQuerySchema(Schema):
    """Which tasks to list, in which order."""

    status = fields.String(validate=_choice(Status), metadata=_about("Tasks this far."))
    priority = fields.String(
        validate=_choice(Priority), metadata=_about("Tasks that matter this much.")
    )
    tag = fields.List(
        Text(longest=TAG_MAX, trimmed=True, one_line=True),
        validate=validate.Length(max=TAGS_MAX),
        metadata=_about("Tasks with this tag; repeat it for tasks that have all of them."),
    )
    repository = RepositoryName(metadata=_about("Tasks on it: `owner/name` or a URL."))
    archived = Flag(metadata=_about("Tasks whose repository is archived, or is not."))
    metadata_status = fields.String(
        validate=_choice(MetadataStatus), metadata=_about("Tasks with metadata in this state.")
    )
    due_before = IsoDate(metadata=_about("Tasks due on an earlier day."))
    q = Text(
        longest=SEARCH_MAX,
        metadata=_about(
            "Words to find in title, description, repository and its description: all of them, "
            "each by its beginning."
        ),
    )
    sort = fields.String(
        validate=validate.OneOf(SORTS),
        load_default=DEFAULT_SORT,
        metadata=_about("The order, `-` for descending; nulls last, ties by id the same way."),
    )
    limit = Number(
        validate=validate.Range(min=1, max=LIMIT_MAX),
        load_default=30,
        metadata=_about("How many tasks a page has."),
    )
    cursor = fields.String(
        load_default=None, metadata=_about('The place in the list, from `rel="next"`.')
    )
    total = Flag(
        load_default=False, metadata=_about("Count all tasks of the list in `X-Total-Count`.")
    )

    @post_load
    def arrange(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Part the filters from the rest, find the words, and read the cursor for the sort."""
        if "q" in data and not search_words(data["q"]):
            raise ValidationError("Must have a letter or a digit.", "q")
        query = {name: data.pop(name) for name in ("sort", "limit", "cursor", "total")}
        if query["cursor"] is not None:
            try:
                query["cursor"] = Cursor.parse(query["cursor"], query["sort"])
            except ValueError as error:
                raise ValidationError(str(error), "cursor") from None
        return {"filters": data, **query}


class TaskSchema(Schema):
    """A task with what GitHub says of its repository."""

    class Meta:
        ordered = True

    id = fields.Integer(
        required=True, metadata=_about("Given by the service.", format="int64", minimum=1)
    )
    title = fields.String(required=True, validate=validate.Length(min=1, max=TITLE_MAX))
    description = fields.String(
        required=True, allow_none=True, validate=validate.Length(max=DESCRIPTION_MAX)
    )
    status = fields.String(required=True, validate=_choice(Status))
    priority = fields.String(required=True, validate=_choice(Priority))
    tags = fields.List(
        fields.String(validate=validate.Length(min=1, max=TAG_MAX)),
        required=True,
        validate=validate.Length(max=TAGS_MAX),
    )
    due_date = fields.Date(required=True, allow_none=True)
    repository = fields.String(required=True, metadata=_about("`owner/name` as GitHub spells it."))
    repository_url = fields.String(
        required=True, allow_none=True, metadata=_about("Its page on GitHub.", format="uri")
    )
    repository_description = fields.String(required=True, allow_none=True)
    stars = fields.Integer(
        required=True,
        allow_none=True,
        metadata=_about("How many people starred it.", format="int64", minimum=0),
    )
    language = fields.String(
        required=True, allow_none=True, metadata=_about("The main programming language.")
    )
    archived = fields.Boolean(required=True, allow_none=True)
    pushed_at = Timestamp(
        required=True, allow_none=True, metadata=_about("When it was last pushed to.")
    )
    metadata_status = fields.String(
        required=True,
        validate=_choice(MetadataStatus),
        metadata=_about(
            "`current`; `pending`: never fetched; `unavailable`: GitHub said gone or forbidden."
        ),
    )
    metadata_fetched_at = Timestamp(
        required=True,
        allow_none=True,
        metadata=_about("When GitHub last confirmed the metadata."),
    )
    version = fields.Integer(
        required=True,
        metadata=_about("Grows by one with each change.", format="int64", minimum=1),
    )
    created_at = Timestamp(required=True)
    updated_at = Timestamp(required=True)


class HealthSchema(Schema):
    """That the service is well."""

    status = fields.String(required=True, validate=validate.OneOf(["ok"]))


class ErrorSchema(Schema):
    """What went wrong, and what to do about it."""

    code = fields.Integer(required=True, metadata=_about("The HTTP status.", example=422))
    status = fields.String(
        required=True, metadata=_about("Its name.", example="Unprocessable Entity")
    )
    message = fields.String(required=True, metadata=_about("What to do about it."))
    errors = fields.Dict(
        keys=fields.String(),
        metadata=_about(
            "What is wrong with the request, by location and field.",
            example={"json": {"title": ["Missing data for required field."]}},
        ),
    )
