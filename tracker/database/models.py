"""The task: its columns and their rules, named once for model, schema and database."""

from datetime import datetime, timedelta, timezone
from enum import Enum
from functools import cache, reduce
from operator import or_
from typing import Any, NamedTuple, cast

from peewee import (
    JOIN,
    SQL,
    BigAutoField,
    BigIntegerField,
    BooleanField,
    Case,
    Check,
    DateField,
    Expression,
    Join,
    Model,
    Select,
    TextField,
    fn,
)
from playhouse.postgres_ext import ArrayField, DateTimeTZField, TSVectorField

from tracker.database.connection import database
from tracker.database.pool import ANSWER_TIMEOUT
from tracker.database.queries import Statement, bind

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
# The task as TaskSchema dumps it, by a function that the migrations define.
_JSON = """
    task_json(
        id, title, description, status, priority, tags, due_date, repository, repository_url,
        repository_description, stars, language, archived, pushed_at, metadata_status,
        metadata_fetched_at, version, created_at, updated_at
    )
"""


def etag(version: int) -> str:
    """Give the entity tag of a task at this version, quotes included."""
    return f'"{version}"'


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
    json = TextField(constraints=[SQL(f"GENERATED ALWAYS AS ({_JSON}) STORED")])

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
    def columns(cls) -> list[Any]:
        """Give the columns that make a task, and none that PostgreSQL makes of them."""
        made = {"search", "json"}
        return [field for field in cls._meta.sorted_fields if field.name not in made]

    @classmethod
    def find(cls, task_id: int) -> "Task | None":
        """Read the task with this id, if there is one."""
        cursor = _select().run(id=task_id)
        row = cursor.fetchone()
        names = [column.name for column in cursor.description]
        return None if row is None else Task(**dict(zip(names, row, strict=True)))

    @classmethod
    def find_stored(cls, task_ids: list[int]) -> "dict[int, StoredTask]":
        """Read what answers need of the tasks with these ids, as far as there are any."""
        return {row[0]: StoredTask(*row) for row in _select_stored().run(ids=task_ids)}

    @classmethod
    def insert_returning(cls, values: dict[str, Any]) -> "StoredTask":
        """Store a new task and give it as the database completed it."""
        return cast("StoredTask", _inserted(values))

    @classmethod
    def insert_at_once(cls, values: dict[str, Any]) -> "StoredTask | None":
        """Store a new task by a statement that is a transaction by itself.

        It stores none, and gives none, where that would not do: if the repository has tasks under
        another name, or if the server gets to it so late that nobody waits for the answer.
        """
        until = datetime.now(timezone.utc) + timedelta(seconds=ANSWER_TIMEOUT)
        return _inserted(values, until=until)

    @classmethod
    def update_one(
        cls, task_id: int, values: dict[str, Any], versions: list[int] | None
    ) -> "StoredTask | None":
        """Store new values, one version on if one of them is new, and give the task as it now is.

        None where there is no such task, or it is at none of these `versions`.
        """
        edit = _update(versions is not None, *values)
        return _stored(edit.run(**values, id=task_id, versions=versions))

    @classmethod
    def update_all(cls, where: Any, turn: object, **values: Any) -> None:
        """Store new values in all tasks that `where` names, each one version on.

        Who changes many tasks of one repository names it as `turn`, and waits for the others who
        do: rows locked in another order would be a deadlock. The update is one plain statement,
        without FOR UPDATE, so it also runs where the table is sharded.
        """
        database.execute_sql("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (str(turn),))
        now = {"version": Task.version + 1, "updated_at": SQL("now()")}
        Task.update(**values, **now).where(where).execute()

    @classmethod
    def follow_rename(cls, repository_id: int, seen: datetime, besides: int, **values: Any) -> None:
        """Store a repository's new name and URL in the tasks that GitHub had answered before."""
        older = Task.metadata_fetched_at < seen  # a cached answer may be older
        other = Task.repository != values["repository"]
        renamed = (Task.repository_id == repository_id) & other & older
        cls.update_all(renamed & (Task.id != besides), repository_id, **values)

    @classmethod
    def delete_one(cls, task_id: int, versions: list[int] | None) -> bool:
        """Delete the task; tell whether there was one, at one of these `versions`."""
        return bool(_delete(versions is not None).run(id=task_id, versions=versions).rowcount)


class StoredTask(NamedTuple):
    """What an answer needs of a task that is stored."""

    id: int
    version: int
    json: str
    renamed: bool = False  # whether its repository has tasks under another name

    @property
    def etag(self) -> str:
        """The entity tag of the task as it is, quotes included."""
        return etag(self.version)


_STORED = (Task.id, Task.version, Task.json)


def _stored(cursor: Any) -> StoredTask | None:
    row = cursor.fetchone()
    return None if row is None else StoredTask(*row)


@cache
def _select() -> Statement:
    return Statement(Task.select(*Task.columns()).where(_chosen()), prepared=True)


@cache
def _select_stored() -> Statement:
    # One by one, which LIMIT keeps them: of `= ANY (ids)`, or of a plain join, PostgreSQL may keep
    # a plan that reads the whole of a new table.
    ids = SQL("unnest(%s::bigint[]) AS asked (id)", bind("ids").params)
    one = Task.select(*_STORED).where(Task.id == SQL("asked.id")).limit(SQL("1")).alias("task")
    each = Join(ids, one, JOIN.LATERAL, SQL("true"))
    query = Select([each], [one.c.id, one.c.version, one.c.json]).bind(database)
    return Statement(query, prepared=True)


def _inserted(values: dict[str, Any], **condition: Any) -> StoredTask | None:
    values = {"repository_id": None, **Task._meta.get_default_dict(), **values}
    return _stored(_insert(bool(condition), *values).run(**values, **condition))


@cache
def _insert(at_once: bool, *names: str) -> Statement:
    values, columns = [bind(name) for name in names], [getattr(Task, name) for name in names]
    row, answer = Select(columns=values), [*_STORED]
    if at_once:
        row = row.where(~_renamed(), fn.clock_timestamp() < bind("until"))
    else:
        answer.append(_renamed())
    return Statement(Task.insert_from(row, columns).returning(*answer), prepared=True)


def _renamed() -> Any:
    """Have a creation look for other names of its repository.

    By the ends of those names in an index: for an inequality PostgreSQL may read all tasks.
    """
    other = Task.alias()
    same, name = other.repository_id == bind("repository_id"), bind("repository")
    ends = (other.select(end(other.repository)).where(same) for end in (fn.min, fn.max))
    return reduce(or_, (fn.coalesce(end != name, SQL("false")) for end in ends))


@cache
def _update(versioned: bool, *names: str) -> Statement:
    new = [Expression(getattr(Task, name), "IS DISTINCT FROM", bind(name)) for name in names]
    changed = reduce(or_, new, SQL("false"))
    values = {name: bind(name) for name in names} | {
        "version": Task.version + changed.cast("integer"),
        "updated_at": Case(None, [(changed, SQL("now()"))], Task.updated_at),
    }
    update = Task.update(**values).where(_chosen(versioned)).returning(*_STORED)
    return Statement(update, prepared=True)


@cache
def _delete(versioned: bool) -> Statement:
    return Statement(Task.delete().where(_chosen(versioned)), prepared=True)


def _chosen(versioned: bool = False) -> Any:
    chosen = Task.id == bind("id")
    return chosen & (Task.version == fn.ANY(bind("versions"))) if versioned else chosen


for _name, _definition in {
    "task_repository_id": "(repository_id, repository)",
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
