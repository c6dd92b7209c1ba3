"""Tables: columns, limits and choices, each declared once for the whole package."""

from enum import Enum
from typing import Any

from peewee import (
    SQL,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    Check,
    DateField,
    Field,
    Model,
    NodeList,
    TextField,
    fn,
)
from playhouse.postgres_ext import ArrayField, DateTimeTZField, TSVectorField

from .connection import database
from .text import INVISIBLE

TITLE_MAX = 200
DESCRIPTION_MAX = 10_000
TAGS_MAX = 20
TAG_MAX = 50
BIGINT_MAX = 2**63 - 1
ISSUE_MAX = 2**31 - 1


class Status(str, Enum):
    """Progress of a task."""

    OPEN = "open"
    IN_PROGRESS = "in_progress"
    DONE = "done"


class Priority(str, Enum):
    """Importance of a task, lowest first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class MetadataStatus(str, Enum):
    """State of the repository's metadata."""

    CURRENT = "current"
    PENDING = "pending"
    UNAVAILABLE = "unavailable"


def one_of(column: str, choices: type[Enum]) -> Any:
    """Return the CHECK constraint that a column holds one of the choices."""
    values = ", ".join(f"'{choice.value}'" for choice in choices)
    return Check(f"{column} IN ({values})", name=f"tasks_{column}_known")


_PRIORITIES = SQL(f"ARRAY[{', '.join(repr(choice.value) for choice in Priority)}]")
_NAME = 'lower(repository COLLATE "C")'
_ISSUE_URL = "repository_url || '/issues/' || issue"
_SEARCH = "search_vector(ARRAY[title, description, repository, repository_description] || tags)"


class Task(Model):
    """A task and its repository's metadata.

    `help_text` describes a field in the OpenAPI document.
    """

    id = BigAutoField(help_text="Assigned by the service.")
    title = TextField(help_text="What has to be done, in one line.")
    description = TextField(null=True, help_text="Details, in any number of lines.")
    status = TextField(default=Status.OPEN.value, choices=Status, help_text="Progress.")
    priority = TextField(default=Priority.NORMAL.value, choices=Priority, help_text="Importance.")
    tags = ArrayField(
        TextField, default=list, index=False, help_text="Labels; duplicates are dropped."
    )
    due_date = DateField(null=True, help_text="Day by which it has to be done.")
    repository = TextField(help_text="`owner/name` as GitHub spells it.")
    issue = BigIntegerField(
        null=True, help_text="Number of an issue or pull request in the repository."
    )
    repository_id = BigIntegerField(null=True)
    repository_url = TextField(null=True, help_text="Page of the repository on GitHub.")
    issue_url = TextField(
        null=True,
        constraints=[SQL(f"GENERATED ALWAYS AS ({_ISSUE_URL}) STORED")],
        help_text="Page of the issue or pull request on GitHub.",
    )
    repository_description = TextField(null=True, help_text="GitHub's description.")
    stars = BigIntegerField(null=True, help_text="Number of stars.")
    language = TextField(null=True, help_text="Main programming language.")
    archived = BooleanField(null=True, help_text="Whether the repository is archived.")
    pushed_at = DateTimeTZField(null=True, help_text="Time of the last push.")
    topics = ArrayField(TextField, null=True, index=False, help_text="Topics on GitHub.")
    license = TextField(null=True, help_text="SPDX identifier of the license.")
    homepage = TextField(null=True, help_text="Home page of the project.")
    fork = BooleanField(null=True, help_text="Whether the repository is a fork.")
    visibility = TextField(null=True, help_text="`public`, `private` or `internal`.")
    metadata_status = TextField(
        default=MetadataStatus.PENDING.value,
        choices=MetadataStatus,
        help_text="`current`; `pending`: never fetched; `unavailable`: GitHub refused access.",
    )
    metadata_fetched_at = DateTimeTZField(
        null=True, help_text="When GitHub last confirmed the metadata."
    )
    completed_at = DateTimeTZField(
        null=True, help_text="When its status last became `done`; null while it is not."
    )
    version = BigIntegerField(
        default=1, constraints=[SQL("DEFAULT 1")], help_text="Incremented by each change."
    )
    created_at = DateTimeTZField(constraints=[SQL("DEFAULT now()")], help_text="Creation time.")
    updated_at = DateTimeTZField(
        constraints=[SQL("DEFAULT now()")], help_text="Time of the last change."
    )
    tag_keys = ArrayField(
        TextField,
        index=False,
        constraints=[SQL("GENERATED ALWAYS AS (lower_tags(tags)) STORED")],
    )
    search = TSVectorField(
        index=False, constraints=[SQL(f"GENERATED ALWAYS AS ({_SEARCH}) STORED")]
    )

    class Meta:
        database = database
        table_name = "tasks"
        constraints = (
            Check(f"char_length(title) BETWEEN 1 AND {TITLE_MAX}", name="tasks_title_length"),
            Check(r"title = btrim(title) AND title !~ '[\n\r]'", name="tasks_title_line"),
            Check(f"title ~ '[^{INVISIBLE}]'", name="tasks_title_visible"),
            Check("title IS NFC NORMALIZED", name="tasks_title_nfc"),
            Check(
                f"char_length(description) <= {DESCRIPTION_MAX}", name="tasks_description_length"
            ),
            one_of("status", Status),
            one_of("priority", Priority),
            Check(f"cardinality(tags) <= {TAGS_MAX}", name="tasks_tags_number"),
            # CHECK allows no subquery, so the lengths are checked in the joined text.
            Check(
                "array_position(tags, NULL) IS NULL AND array_position(tags, '') IS NULL"
                r" AND array_to_string(tags, '') !~ '[\n\r]'"
                rf" AND array_to_string(tags, E'\n') !~ '[^\n]{{{TAG_MAX + 1},}}'",
                name="tasks_tags_length",
            ),
            Check(r"array_to_string(tags, E'\n') IS NFC NORMALIZED", name="tasks_tags_nfc"),
            Check(
                r"repository ~ '^[A-Za-z0-9_-]{1,39}/[A-Za-z0-9._-]{1,100}$'",
                name="tasks_repository_name",
            ),
            Check(f"issue BETWEEN 1 AND {ISSUE_MAX}", name="tasks_issue_range"),
            Check("stars >= 0", name="tasks_stars_natural"),
            one_of("metadata_status", MetadataStatus),
            Check(
                "metadata_status <> 'current' OR (repository_url IS NOT NULL AND stars IS NOT NULL"
                " AND archived IS NOT NULL AND metadata_fetched_at IS NOT NULL)",
                name="tasks_metadata_whole",
            ),
            Check("completed_at IS NULL OR status = 'done'", name="tasks_completed_done"),
            Check("version >= 1", name="tasks_version_positive"),
        )

    @classmethod
    def public_fields(cls) -> list[Field]:
        """Return the fields that a response has, in its order."""
        internal = {"repository_id", "tag_keys", "search"}
        return [field for field in cls._meta.sorted_fields if field.name not in internal]


# GitHub's names are ASCII: under every locale this equals Python's lower().
repository_key = fn.lower(Task.repository.collate('"C"'))
language_key = fn.lower(Task.language.collate('"C"'))
license_key = fn.lower(Task.license.collate('"C"'))
title_key = NodeList((fn.title_key(Task.title), SQL('COLLATE "C"')))  # as people sort


def priority_rank(priority: Any) -> Any:
    """Return the expression by which priorities are sorted."""
    return fn.array_position(_PRIORITIES, priority)


def _covering(key: str) -> str:
    """Return the index of a sort with the columns of the filters by date, status and priority.

    PostgreSQL then reads no task that these do not select. It reads an expression from an index
    only if that has the column too.
    """
    columns = ["created_at", "updated_at", "completed_at", "due_date", "status", "priority"]
    return f"({key}, id) INCLUDE ({', '.join(name for name in columns if name != key)})"


for _name, _definition in {
    "tasks_created_at_id": _covering("created_at"),
    "tasks_updated_at_id": _covering("updated_at"),
    "tasks_completed_at_id": _covering("completed_at"),
    "tasks_due_date_id": _covering("due_date"),
    "tasks_priority_id": _covering(f"array_position({_PRIORITIES.sql}, priority)"),
    "tasks_repository_id": "(repository_id, repository)",
    # A repository's place in the order of a sort is read from the same index as a task's.
    "tasks_stars_id": "(stars, id) INCLUDE (repository_id)",
    "tasks_pushed_at_id": "(pushed_at, id) INCLUDE (repository_id)",
    "tasks_title": """(title_key(title) COLLATE "C", id)""",
    "tasks_repository_name": f"({_NAME}, repository_id) INCLUDE (repository)",
    "tasks_archived": "(created_at, id) WHERE archived",
    "tasks_metadata_not_current": "(created_at, id) WHERE metadata_status <> 'current'",
    "tasks_tags": "USING gin (tag_keys)",
    "tasks_search": "USING gin (search)",
    "tasks_not_done": "(created_at, id) WHERE status <> 'done'",
    "tasks_language": """(lower(language COLLATE "C"), pushed_at, id)""",
    "tasks_license": """(lower(license COLLATE "C"), pushed_at, id)""",
    "tasks_fork": "(created_at, id) WHERE fork",
    "tasks_fork_pushed_at": "(pushed_at, id) WHERE fork",
    "tasks_archived_pushed_at": "(pushed_at, id) WHERE archived",
    "tasks_topics": "USING gin (topics)",
    "tasks_facts": "(repository_id, metadata_fetched_at DESC NULLS LAST, id DESC) INCLUDE (status)",
    "tasks_fetched_at_repository": "(metadata_fetched_at, repository_id)",
    "tasks_unidentified": f"({_NAME}, id) WHERE repository_id IS NULL",
}.items():
    Task.add_index(SQL(f"CREATE INDEX {_name} ON tasks {_definition}"))


class IdempotencyKey(Model):
    """A client's key for one creation, and its task.

    Until then a request holds a lease, which `claimed_at` identifies, and alone may create it.
    """

    key = TextField(primary_key=True)
    fingerprint = TextField()
    task_id = BigIntegerField(null=True)
    claimed_at = DateTimeTZField(constraints=[SQL("DEFAULT now()")])
    lease_until = DateTimeTZField(null=True)

    class Meta:
        database = database
        table_name = "idempotency_keys"


IdempotencyKey.add_index(IdempotencyKey.claimed_at, name="idempotency_keys_claimed_at")
