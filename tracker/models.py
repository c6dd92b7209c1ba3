"""The task: its columns and their rules, named once for model, schema and database."""

from enum import Enum
from typing import Any, cast

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    Check,
    DateField,
    Model,
    TextField,
)
from playhouse.postgres_ext import ArrayField, DateTimeTZField

from .database import database

TITLE_MAX = 200
DESCRIPTION_MAX = 10_000
TAGS_MAX = 20
TAG_MAX = 50
BIGINT_MAX = 2**63 - 1


class Status(str, Enum):
    """How far a task is."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    DONE = "done"


class Priority(str, Enum):
    """How much a task matters, the least first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class MetadataStatus(str, Enum):
    """What the repository's metadata are worth."""

    CURRENT = "current"
    PENDING = "pending"
    UNAVAILABLE = "unavailable"


def _one_of(column: str, choices: type[Enum]) -> Any:
    values = ", ".join(f"'{choice.value}'" for choice in choices)
    return Check(f"{column} IN ({values})", name=f"tasks_{column}_known")


class Task(Model):
    """A task and what GitHub says of its repository; the row that `tasks` holds."""

    id = BigAutoField()
    title = TextField()
    description = TextField(null=True)
    status = TextField(default=Status.OPEN.value)
    priority = TextField(default=Priority.NORMAL.value)
    tags = ArrayField(TextField, default=list, index=False)
    due_date = DateField(null=True)
    repository = TextField()
    repository_id = BigIntegerField(null=True, index=True)
    repository_url = TextField(null=True)
    repository_description = TextField(null=True)
    stars = BigIntegerField(null=True)
    language = TextField(null=True)
    archived = BooleanField(null=True)
    pushed_at = DateTimeTZField(null=True)
    metadata_status = TextField(default=MetadataStatus.PENDING.value)
    metadata_fetched_at = DateTimeTZField(null=True)
    version = BigIntegerField(default=1, constraints=[SQL("DEFAULT 1")])
    created_at = DateTimeTZField(constraints=[SQL("DEFAULT now()")])
    updated_at = DateTimeTZField(constraints=[SQL("DEFAULT now()")])

    class Meta:
        database = database
        table_name = "tasks"
        constraints = (
            Check(f"char_length(title) BETWEEN 1 AND {TITLE_MAX}", name="tasks_title_length"),
            Check(r"title = btrim(title) AND title !~ '[\n\r]'", name="tasks_title_line"),
            Check(
                f"char_length(description) <= {DESCRIPTION_MAX}", name="tasks_description_length"
            ),
            _one_of("status", Status),
            _one_of("priority", Priority),
            Check(f"cardinality(tags) <= {TAGS_MAX}", name="tasks_tags_number"),
            # CHECK takes no subquery, so the tags are looked at joined by line breaks.
            Check(
                "array_position(tags, NULL) IS NULL AND array_position(tags, '') IS NULL"
                r" AND array_to_string(tags, '') !~ '[\n\r]'"
                rf" AND array_to_string(tags, E'\n') !~ '[^\n]{{{TAG_MAX + 1},}}'",
                name="tasks_tags_length",
            ),
            Check(
                r"repository ~ '^[A-Za-z0-9_-]{1,39}/[A-Za-z0-9._-]{1,100}$'",
                name="tasks_repository_name",
            ),
            Check("stars >= 0", name="tasks_stars_natural"),
            _one_of("metadata_status", MetadataStatus),
            Check(
                "metadata_status <> 'current' OR (repository_id IS NOT NULL"
                " AND repository_url IS NOT NULL AND stars IS NOT NULL"
                " AND archived IS NOT NULL AND metadata_fetched_at IS NOT NULL)",
                name="tasks_metadata_whole",
            ),
            Check("version >= 1", name="tasks_version_positive"),
        )

    @classmethod
    def insert_returning(cls, values: dict[str, Any]) -> "Task":
        """Store a new task and give the row as the database completed it."""
        (task,) = cls.insert(**values).returning(cls).execute()
        return cast("Task", task)

    def update_if_unchanged(self, values: dict[str, Any]) -> "Task | None":
        """Store new values, one version on, and give the row as it now is.

        None where the row has changed, or gone, since this task was read.
        """
        rows = (
            Task.update(**values, version=Task.version + 1, updated_at=SQL("now()"))
            .where(Task.id == self.id, Task.version == self.version)
            .returning(Task)
            .execute()
        )
        return next(iter(rows), None)
