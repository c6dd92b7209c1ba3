"""Statements on the `tasks` table, for the checked-out connection."""

from collections.abc import Iterable
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from peewee import SQL, Expression, Field, fn
from playhouse.postgres_ext import DateTimeTZField

from .changes import FormerName
from .compiled import CompiledQuery, parameter
from .connection import database
from .models import Status, Task, repository_key
from .returned import from_row, returned_columns

READ_MAX = 64  # tasks in a statement; a power of two
FETCHED_AT = "metadata_fetched_at"
MANY = "many tasks"  # advisory lock; no repository has this name
# A time as responses have it
FORMAT = """'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'"""
TIME = f"to_char({{0}} AT TIME ZONE 'UTC', {FORMAT})"

Versions = list[int] | None  # versions that a change is for; None for any


class TaskJSON(NamedTuple):
    """A stored task as the JSON that the API responds with."""

    id: int
    version: int
    json: str

    @property
    def etag(self) -> str:
        """The entity tag, with its quotes."""
        return f'"{self.version}"'


@cache
def json_columns() -> tuple[Any, ...]:
    """Return the columns of a TaskJSON.

    PostgreSQL writes the JSON, in less time than Python needs to read the values.
    """
    return Task.id, Task.version, row_json(Task.public_fields())


def row_json(fields: Iterable[Field]) -> SQL:
    """Return the expression for a row's columns as the JSON of a response.

    Citus refuses to_char() in a subquery without FROM; PostgreSQL makes one of the two.
    """
    columns = {field.name: isinstance(field, DateTimeTZField) for field in fields}

    def select(time: str) -> str:
        texts = (f"{time.format(name)} AS {name}" if t else name for name, t in columns.items())
        return f"SELECT {', '.join(texts)}"

    utc = select("{0} AT TIME ZONE 'UTC'")
    values = f"{select(f'to_char({{0}}, {FORMAT})')} FROM ({utc}) AS utc"
    return SQL(f"(SELECT row_to_json(found) FROM ({values}) AS found)::text")  # noqa: S608


def find_task(task_id: int) -> Task | None:
    """Return the task with its version and the repository's identity, or None."""
    identity = (Task.id, Task.version, Task.repository, Task.repository_id)
    metadata = (Task.metadata_status, Task.metadata_fetched_at)
    task: Task | None = Task.select(*identity, *metadata).where(Task.id == task_id).first()
    return task


def read_tasks(task_ids: list[int]) -> dict[int, TaskJSON]:
    """Return the tasks that exist, by id."""
    found: dict[int, TaskJSON] = {}
    for start in range(0, len(task_ids), READ_MAX):
        ids = task_ids[start : start + READ_MAX]
        size = 1 << (len(ids) - 1).bit_length()  # the next power of two
        ids += ids[:1] * (size - len(ids))
        rows = _read_tasks(size).execute(**{f"id_{n}": task_id for n, task_id in enumerate(ids)})
        found |= {row[0]: TaskJSON(*row) for row in rows}
    return found


@cache
def _read_tasks(size: int) -> CompiledQuery:
    """Return the query that reads `size` tasks by id.

    PostgreSQL keeps the plan of a query whose number of ids it knows. It would plan `ANY(array)`
    anew for each array, which takes longer than the read.
    """
    selected = Task.id.in_([parameter(f"id_{n}") for n in range(size)])
    return CompiledQuery(Task.select(*json_columns()).where(selected), prepare=True)


def insert_task(values: dict[str, Any]) -> TaskJSON:
    """Store a new task."""
    values = Task._meta.get_default_dict() | values
    completed = values["status"] == Status.DONE.value and "completed_at" not in values
    (row,) = _insert(completed, *values).execute(**values).fetchall()
    return TaskJSON(*from_row(row))


@cache
def _insert(completed: bool, *names: str) -> CompiledQuery:
    values: dict[Any, Any] = {getattr(Task, name): parameter(name) for name in names}
    if completed:
        values[Task.completed_at] = fn.now()
    return CompiledQuery(Task.insert(values).returning(*returned_columns().values()), prepare=True)


def update_task(task_id: int, values: dict[str, Any], versions: Versions) -> TaskJSON | None:
    """Store new values; the version grows only if one but `metadata_fetched_at` differs.

    Returns None where there is no such task, or it is at none of the versions.
    """
    for query in _update(versions is not None, values.get("status"), *values):
        if row := query.execute(**values, id=task_id, versions=versions).fetchone():
            return TaskJSON(*from_row(row))
    return None


@cache
def _update(versioned: bool, status: str | None, *names: str) -> list[CompiledQuery]:
    """Return the updates of a task with other values, and the query of one with the same values."""
    selected = Task.id == parameter("id")
    if versioned:
        selected &= Task.version == fn.ANY(parameter("versions"))
    columns = returned_columns().values()
    values = {name: parameter(name) for name in names}
    differs = any_differs({n: value for n, value in values.items() if n != FETCHED_AT})
    same: Any = Task.select(*columns)
    if FETCHED_AT in values:
        latest = fn.GREATEST(Task.metadata_fetched_at, values[FETCHED_AT])
        same = Task.update({FETCHED_AT: latest}).returning(*columns)
    found: list[Any] = [
        Task.update(**values, **completed, **next_version())
        .where(selected & condition & differs)
        .returning(*columns)
        for condition, completed in completions({"status": status} if status else {})
    ]
    return [CompiledQuery(q, prepare=True) for q in (*found, same.where(selected & ~differs))]


def delete_task(task_id: int, versions: Versions) -> bool:
    """Delete the task; return whether it existed at one of the versions."""
    delete = Task.delete().where(Task.id == task_id)
    if versions is not None:
        delete = delete.where(Task.version == fn.ANY(SQL("%s::bigint[]", (versions,))))
    return bool(delete.execute())


def lock_repository(*keys: int | str) -> None:
    """Acquire the locks of a repository for this transaction.

    The keys are the repository's ids, or its name in lower case while it has none. By one more
    lock, which all repositories share, none runs beside `lock_changes_of_many`.
    """
    # In one order for all transactions, locks are no deadlock.
    names = [MANY, *sorted(map(str, keys))]
    own = ["pg_advisory_xact_lock(hashtextextended(%s, 0))"] * len(keys)
    locks = ["pg_advisory_xact_lock_shared(hashtextextended(%s, 0))", *own]
    database.execute_sql(f"SELECT {', '.join(locks)}", names)


def update_repository(
    tasks: Any, facts: dict[str, Any], fetched_at: datetime | None = None
) -> None:
    """Store GitHub's facts in the tasks of one repository, which the condition `tasks` selects.

    Tasks with other facts get a new version; `fetched_at` is stored without one. The caller holds
    the repository's lock: transactions that update many of its tasks run one after the other.
    """
    fetched = {} if fetched_at is None else {"metadata_fetched_at": fetched_at}
    Task.update(**facts, **fetched, **next_version()).where(tasks & any_differs(facts)).execute()
    if fetched:
        older = Task.metadata_fetched_at.is_null() | (Task.metadata_fetched_at < fetched_at)
        Task.update(**fetched).where(tasks & older).execute()


def lock_changes_of_many() -> None:
    """Acquire the lock of changes to many tasks for this transaction.

    Two of them could lock rows in another order, and be a deadlock. A change of one task locks
    one row, and needs no such lock.
    """
    lock = "SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))"
    database.execute_sql(lock, (MANY,))


def follow_rename(
    repository_id: int, facts: dict[str, Any], seen_at: datetime, exclude_id: int
) -> None:
    """Store a repository's new name in its other tasks, unless they have newer metadata.

    The caller holds the repository's lock.
    """
    others = (Task.repository_id == repository_id) & (Task.id != exclude_id)
    update_repository(others & (Task.metadata_fetched_at < seen_at), facts)


def remember_name(repository_id: int, name: str) -> None:
    """Store a name that the repository had."""
    row = FormerName.insert(name=name.lower(), repository_id=repository_id)
    row.on_conflict_ignore().execute()


def current_names(name: str) -> list[str]:
    """Return the names in lower case of the repositories that a name stands for.

    That is the name itself while a task has it, or else those of the repositories that had it.
    """
    name = name.lower()
    if Task.select().where(repository_key == name).exists():
        return [name]
    former = FormerName.select(FormerName.repository_id).where(FormerName.name == name)
    ids = [row[0] for row in former.tuples().execute()]
    names = Task.select(repository_key).where(
        Task.repository_id == fn.ANY(SQL("%s::bigint[]", (ids,)))
    )
    return [name, *(row[0] for row in names.distinct().tuples().execute())] if ids else [name]


def next_version() -> dict[str, Any]:
    """Return the columns that change with each change of a task."""
    return {"version": Task.version + 1, "updated_at": SQL("now()")}


def completions(values: dict[str, Any]) -> list[tuple[Any, dict[str, Any]]]:
    """Return the column that follows from a new status, by the tasks that a condition selects.

    A task that is done already keeps its time. These are updates of their own: Citus refuses
    now() in a CASE.
    """
    if "status" not in values:
        return [(SQL("true"), {})]
    if values["status"] != Status.DONE.value:
        return [(SQL("true"), {"completed_at": None})]
    done = Task.status == Status.DONE.value
    return [(~done, {"completed_at": fn.now()}), (done, {})]


def any_differs(values: dict[str, Any]) -> Any:
    """Return the condition that a task has another value in one of the columns."""
    condition: Any = SQL("false")
    for name, value in values.items():
        field = getattr(Task, name)
        other = value if isinstance(value, SQL) else field.to_value(value)
        condition |= Expression(field, "IS DISTINCT FROM", other)
    return condition
