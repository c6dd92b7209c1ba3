"""Schemas of imports: the query, the response, and a whole task that is restored."""

from typing import Any

from flask import current_app
from marshmallow import RAISE, Schema, ValidationError, fields, post_load, validate

from ..database.models import MetadataStatus, Status, Task
from ..github.repository import check_full_name, load_repository
from ..tasks.formats import Format
from ..tasks.repositories import COLUMNS
from .error_handlers import ErrorSchema
from .fields import QueryBoolean, Time, doc, one_of
from .parsing import QuerySchema
from .schemas import ResponseSchema, TaskInputSchema

ID_MAX = 2**53 - 1  # JavaScript knows no larger numbers exactly
# Members of GitHub's JSON, by the column that they fill.
GITHUB = {
    "repository": "full_name",
    "repository_url": "html_url",
    "repository_description": "description",
    "stars": "stargazers_count",
    **{name: name for name in ("language", "archived", "pushed_at", "topics", "license")},
    **{name: name for name in ("homepage", "fork", "visibility")},
}
FOUND = GITHUB.keys() - {"repository"}  # columns that are null until GitHub has been asked


class ImportQuerySchema(QuerySchema):
    """Options of an import."""

    format = fields.String(
        validate=one_of(Format), **doc("Format of the body; without it, the format is found.")
    )
    dry_run = QueryBoolean(load_default=False, **doc("Check everything, and store nothing."))
    skip_invalid = QueryBoolean(
        load_default=False, **doc("Store the valid records even if others are invalid.")
    )
    restore = QueryBoolean(
        load_default=False,
        **doc(
            "Keep ids, versions, times and metadata of exported tasks (`jsonl`); only if the "
            "tracker has no tasks (412)."
        ),
    )

    @post_load
    def check_restore(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Check that the format has everything that is restored."""
        named = data.pop("format", None)
        if data["restore"]:
            named = named or Format.JSONL.value
            if named != Format.JSONL.value:
                raise ValidationError(
                    "Only the format jsonl can be restored; omit format.", "restore"
                )
        return data | {"format": Format(named) if named else None}


class InvalidSchema(ResponseSchema):
    """A record that can't be imported."""

    line = fields.Integer(
        required=True, **doc("Its first line, or its number in a JSON array.", format="int64")
    )
    errors = fields.Dict(keys=fields.String(), required=True, **doc("Its errors, by field."))
    text = fields.String(required=True, **doc("The first 200 characters of it."))


class ImportSchema(ResponseSchema):
    """The result of an import."""

    created = fields.Integer(
        required=True, **doc("Number of tasks that are created.", format="int64", minimum=0)
    )
    invalid = fields.List(
        fields.Nested(InvalidSchema), required=True, **doc("The first 20 invalid records.")
    )
    more_invalid = fields.List(
        fields.Integer(), required=True, **doc("The lines of further invalid records.")
    )


class ImportErrorSchema(ErrorSchema):
    """An error of an import; with the reason `invalid_records`, the result of the import too."""

    created = fields.Integer(**doc("Always 0.", format="int64"))
    invalid = fields.List(fields.Nested(InvalidSchema), **doc("The first 20 invalid records."))
    more_invalid = fields.List(fields.Integer(), **doc("The lines of further invalid records."))


class ServiceSchema(Schema):
    """The fields of a restored task that the service has set, and its repository's name."""

    class Meta:
        unknown = RAISE

    id = fields.Integer(required=True, strict=True, validate=validate.Range(1, ID_MAX))
    repository = fields.String(required=True, validate=check_full_name)
    metadata_status = fields.String(required=True, validate=one_of(MetadataStatus))
    metadata_fetched_at = Time(required=True, allow_none=True)
    completed_at = Time(required=True, allow_none=True)
    version = fields.Integer(required=True, strict=True, validate=validate.Range(1, ID_MAX))
    created_at = Time(required=True)
    updated_at = Time(required=True)


class RestoreLoader:
    """Load an exported task: validate the user's, the service's and GitHub's fields."""

    def __init__(self) -> None:
        self._user = TaskInputSchema(exclude=("repository",))
        self._service = ServiceSchema()
        self._names = [field.name for field in Task.public_fields()]
        self._host: str = current_app.config["GITHUB_WEB_HOST"]

    def __call__(self, task: Any) -> dict[str, Any]:
        """Return the task's columns.

        Raises:
            ValidationError: a field is missing, unknown or invalid.
        """
        if not isinstance(task, dict):
            raise ValidationError({"_schema": [TaskInputSchema.error_messages["type"]]})
        if missing := [name for name in self._names if name not in task]:
            raise ValidationError({name: ["Missing data for required field."] for name in missing})
        errors: dict[str, Any] = {}
        values: dict[str, Any] = {}
        of_service = {name: task[name] for name in self._service.fields}
        others = {name: value for name, value in task.items() if name != "repository"}
        for load, part in (
            (self._user.load, others),
            (self._service.load, of_service),
            (self._load_found, task),
        ):
            try:
                values |= load(part)
            except ValidationError as error:
                errors |= error.messages_dict
        if not errors:
            errors = _contradictions(values)
        if errors:
            raise ValidationError(errors)
        return values

    def _load_found(self, task: dict[str, Any]) -> dict[str, Any]:
        """Return the columns that GitHub's JSON fills, by the rules for that."""
        if all(task[name] is None for name in FOUND):
            return dict.fromkeys(FOUND)
        data = {member: task[name] for name, member in GITHUB.items()}
        data["license"] = {"spdx_id": task["license"]}
        try:
            found = load_repository({**data, "id": 1}, self._host)
        except ValidationError as error:
            names = {member: name for name, member in GITHUB.items()}
            messages = error.messages_dict.items()
            raise ValidationError({names[member]: each for member, each in messages}) from None
        del found["id"]
        return {COLUMNS.get(name, name): value for name, value in found.items()}


def _contradictions(values: dict[str, Any]) -> dict[str, list[str]]:
    """Return the errors of fields that do not go together."""
    errors = {}
    status = values["metadata_status"]
    has_found = values["repository_url"] is not None
    if has_found != (values["metadata_fetched_at"] is not None):
        errors["metadata_fetched_at"] = ["Must be null if and only if repository_url is."]
    if status != MetadataStatus.UNAVAILABLE.value and has_found != (
        status == MetadataStatus.CURRENT.value
    ):
        errors["metadata_status"] = ["Must be current if there are metadata, and else pending."]
    if values["completed_at"] is not None and values["status"] != Status.DONE.value:
        errors["completed_at"] = ["Must be null unless status is done."]
    return errors
