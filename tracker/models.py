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
    ModelSelect,
    ModelUpdate,
    TextField,
)
from playhouse.postgres_ext import ArrayField, DateTimeTZField, TSVectorField

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


# What lists and searches order and look up by, as their indexes have it.
PRIORITY_RANK = SQL(
    f"array_position(ARRAY[{', '.join(repr(choice.value) for choice in Priority)}], priority)"
)
_SEARCH = r"""
    to_tsvector('simple', regexp_replace(
        title || ' ' || coalesce(description, '') || ' ' || repository
        || ' ' || coalesce(repository_description, ''),
        '[!-/:-@[-`{-~]', ' ', 'g'
    ))
"""


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
    repository_id = BigIntegerField(null=True)
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
    search = TSVectorField(
        index=False, constraints=[SQL(f"GENERATED ALWAYS AS ({_SEARCH}) STORED")]
    )

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

    @property
    def etag(self) -> str:
        """The entity tag of the task as it is, quotes included."""
        return f'"{self.version}"'

    @classmethod
    def columns(cls) -> list[Any]:
        """Give the columns that make a task; the search column is for the database alone."""
        return [field for field in cls._meta.sorted_fields if field is not cls.search]

    @classmethod
    def read(cls) -> "ModelSelect[Task]":
        """Select whole tasks."""
        return cls.select(*cls.columns())

    @classmethod
    def insert_returning(cls, values: dict[str, Any]) -> "Task":
        """Store a new task and give the row as the database completed it."""
        (task,) = cls.insert(**values).returning(*cls.columns()).execute()
        return cast("Task", task)

    @classmethod
    def update_all(cls, where: Any, **values: Any) -> int:
        """Store new values in all tasks that `where` names, each one version on.

        One plain statement, without FOR UPDATE: so it also runs where the table is sharded.
        """
        return int(cls._changed(values).where(where).execute())

    def update_if_unchanged(self, values: dict[str, Any]) -> "Task | None":
        """Store new values, one version on, and give the row as it now is.

        None where the row has changed, or gone, since this task was read.
        """
        update = self._changed(values).where(self._unchanged())
        return next(iter(update.returning(*Task.columns()).execute()), None)

    def delete_if_unchanged(self) -> bool:
        """Delete the row, unless it has changed, or gone, since this task was read."""
        return bool(Task.delete().where(self._unchanged()).execute())

    @classmethod
    def _changed(cls, values: dict[str, Any]) -> ModelUpdate:
        return cls.update(**values, version=cls.version + 1, updated_at=SQL("now()"))

    def _unchanged(self) -> Any:
        return (Task.id == self.id) & (Task.version == self.version)


for _name, _definition in {
    "task_repository_id": "(repository_id)",
    "tasks_created_at": "(created_at, id)",
    "tasks_updated_at": "(updated_at, id)",
    "tasks_due_date": "(due_date, id)",
    "tasks_priority": f"({PRIORITY_RANK.sql}, id)",
    "tasks_stars": "(stars, id)",
    "tasks_pushed_at": "(pushed_at, id)",
    "tasks_title": "(title, id)",
    "tasks_repository": "(lower(repository), id)",
    "tasks_tags": "USING gin (tags)",
    "tasks_search": "USING gin (search)",
}.items():
    Task.add_index(SQL(f"CREATE INDEX {_name} ON tasks {_definition}"))


class IdempotencyKey(Model):
    """A client's key for one creation, and the task that came of it.

    Whoever inserts the key has claimed it, and alone may create the task; `claimed_at` tells one
    claim from a later one, once the first is too old for its claimant to be alive.
    """

    key = TextField(primary_key=True)
    fingerprint = TextField()
    task_id = BigIntegerField(null=True)
    claimed_at = DateTimeTZField(index=True, constraints=[SQL("DEFAULT now()")])

    class Meta:
        database = database
        table_name = "idempotency_keys"
