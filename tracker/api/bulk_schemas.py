"""Schemas of requests that change or delete many tasks."""

from typing import Any

from marshmallow import ValidationError, fields, post_load, pre_load

from .fields import QueryInteger, Tags, doc
from .filters import FilterSchema, parse_filters
from .schemas import ResponseSchema, TaskPatchSchema

EXPECT_MAX = 10**9  # tasks


class BulkQuerySchema(FilterSchema):  # type: ignore[misc, valid-type]
    """Filters of a change of many tasks: those of a list, of which at least one is required."""

    expect = QueryInteger(
        0,
        EXPECT_MAX,
        **doc("Change nothing (412) unless the filters select this number of tasks."),
    )

    @post_load
    def to_service_query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the filters apart from the expected number of tasks."""
        expect = data.pop("expect", None)
        if data.get("q") == "":  # which a list ignores
            raise ValidationError("Must not be empty.", "q")
        if not data:
            raise ValidationError("At least one filter is required.")
        return {"filters": parse_filters(data), "expect": expect}


class BulkPatchSchema(TaskPatchSchema):
    """Changes to many tasks as a JSON merge patch; a missing field keeps its value."""

    class Meta(TaskPatchSchema.Meta):
        exclude = ("repository", "issue")

    add_tags = Tags(**doc("Tags to add to each task's own; not with `tags`."))
    remove_tags = Tags(
        **doc("Tags to remove from each task's own, in any case, before any are added.")
    )

    @pre_load
    def refuse_repository(self, data: Any, **_: Any) -> Any:
        """Refuse the fields that can be changed for one task at a time only."""
        if isinstance(data, dict) and (found := [name for name in SINGLE if name in data]):
            message = "Can't be changed for many tasks at once; change it in each task."
            raise ValidationError({name: [message] for name in found})
        return data

    @post_load
    def check_tags(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Refuse a list that replaces the tags along with one that adds or removes some."""
        if "tags" in data and (found := data.keys() & {"add_tags", "remove_tags"}):
            raise ValidationError({name: ["Must not be given with tags."] for name in found})
        return data


SINGLE = BulkPatchSchema.Meta.exclude

BulkSchema = ResponseSchema.from_dict(
    {
        name: fields.Integer(required=True, **doc(text, format="int64", minimum=0))
        for name, text in {
            "matched": "Number of tasks that the filters selected.",
            "changed": "Number of tasks that are changed, or deleted.",
        }.items()
    },
    name="BulkSchema",
)
