"""Statements that read repositories, each of which is any number of rows in `tasks`.

The tasks of one repository have its `repository_id`. Where their facts differ, those of the newest
metadata count. A task that was imported or restored, and not refreshed since, has no id: it belongs
to the repository that has its name now, or else it makes a repository of its own with the other
tasks of that name.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from functools import cache, lru_cache
from typing import Any

from peewee import SQL, NodeList, fn
from playhouse.postgres_ext import DateTimeTZField

from ..database.compiled import CompiledQuery, parameter
from ..database.models import Status, Task, repository_key
from ..database.queries import TIME
from ..github.repository import Repository
from .repositories import COLUMNS
from .repository_filters import REPOSITORY_FILTERS

# The fields of a repository in a response, and their columns in its tasks.
FIELDS = {
    field.name: Task._meta.fields[COLUMNS.get(field.name, field.name)]
    for field in fields(Repository)
    if field.name not in {"id", "fetched_at"}
} | {"metadata_status": Task.metadata_status, "metadata_fetched_at": Task.metadata_fetched_at}

IDENTIFIED = Task.repository_id.is_null(False)
UNIDENTIFIED = Task.repository_id.is_null()


@dataclass(frozen=True)
class RepositoryRow:
    """A repository: its id, or 0 where no task knows it, and its fields."""

    id: int
    fields: dict[str, Any]

    @property
    def name(self) -> str:
        """The name in lower case."""
        return str(self.fields["name"]).lower()


def to_rows(rows: Iterable[Any]) -> list[RepositoryRow]:
    """Return the repositories of rows with `columns`."""
    return [RepositoryRow(row[0] or 0, dict(zip(FIELDS, row[1:], strict=True))) for row in rows]


def conditions(filters: Iterable[str]) -> list[Any]:
    """Return the conditions of the filters."""
    return [REPOSITORY_FILTERS[name].condition for name in filters]


def read_names(
    after: str | None, descending: bool, number: int, filters: dict[str, Any]
) -> list[str]:
    """Return the next names of tasks without an id that the filters select, in lower case."""
    query = _names(after is not None, descending, *filters)
    return [name for (name,) in query.execute(after=after, number=number, **filters).fetchall()]


@lru_cache(maxsize=100)
def _names(has_position: bool, descending: bool, *filters: str) -> CompiledQuery:
    tasks = Task.select(repository_key).where(UNIDENTIFIED, *conditions(filters))
    if has_position:
        after = parameter("after")
        tasks = tasks.where(repository_key < after if descending else repository_key > after)
    order = repository_key.desc() if descending else repository_key.asc()
    return CompiledQuery(tasks.group_by(repository_key).order_by(order).limit(parameter("number")))


def read_unidentified(names: list[str], filters: dict[str, Any]) -> dict[str, RepositoryRow]:
    """Return the repositories that tasks without an id make, as far as the filters select them."""
    rows = _newest_unidentified(*filters).execute(names=names, **filters).fetchall()
    return {row.name: row for row in to_rows(rows)}


@lru_cache(maxsize=100)
def _newest_unidentified(*filters: str) -> CompiledQuery:
    among = UNIDENTIFIED & (repository_key == fn.ANY(parameter("names")))
    newest = Task.select(Task.id).distinct(repository_key).where(among)
    fetched_at = NodeList((Task.metadata_fetched_at, SQL("DESC NULLS LAST")))
    newest = newest.order_by(repository_key, fetched_at, Task.id.desc())
    found = Task.select(*columns()).where(Task.id.in_(newest), *conditions(filters))
    return CompiledQuery(found)


def find_ids(names: list[str]) -> list[int]:
    """Return the ids of repositories of which a task has one of these names in lower case."""
    return [repository_id for (repository_id,) in _ids().execute(names=names).fetchall()]


@cache
def _ids() -> CompiledQuery:
    named = IDENTIFIED & (repository_key == fn.ANY(parameter("names")))
    return CompiledQuery(Task.select(Task.repository_id).where(named).distinct())


def count_tasks(ids: list[int], names: list[str]) -> dict[int | str, dict[str, int]]:
    """Return the number of tasks by status, by the repository's id, or by its name without one."""
    counts: dict[int | str, dict[str, int]] = {}
    rows = _count().execute(ids=ids).fetchall()
    for key, status, number in [*rows, *_count_unidentified().execute(names=names).fetchall()]:
        counts.setdefault(key, {each.value: 0 for each in Status})[status] = number
    return counts


@cache
def _count() -> CompiledQuery:
    keys = (Task.repository_id, Task.status)
    tasks = Task.select(*keys, fn.count(SQL("*")))
    return CompiledQuery(
        tasks.where(Task.repository_id == fn.ANY(parameter("ids"))).group_by(*keys)
    )


@cache
def _count_unidentified() -> CompiledQuery:
    keys = (repository_key, Task.status)
    tasks = Task.select(*keys, fn.count(SQL("*")))
    among = UNIDENTIFIED & (repository_key == fn.ANY(parameter("names")))
    return CompiledQuery(tasks.where(among).group_by(*keys))


@cache
def columns() -> tuple[Any, ...]:
    """Return the columns of a RepositoryRow."""
    times = (
        SQL(TIME.format(column.name)) if isinstance(column, DateTimeTZField) else column
        for column in FIELDS.values()
    )
    return (Task.repository_id, *times)
