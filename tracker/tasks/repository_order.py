"""Statements that read the repositories with an id in the order of a sort."""

from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from peewee import SQL, NodeList, Select, Tuple, fn

from ..database.compiled import CompiledQuery, parameter
from ..database.models import Task
from .repository_filters import SORT_COLUMNS
from .repository_rows import IDENTIFIED, RepositoryRow, columns, conditions, to_rows

MATCHES_MAX = 10_000  # tasks, up to which a filter counts as a rare one


@dataclass(frozen=True)
class Position:
    """The place of a repository in the order of a sort: its sort key, and its id.

    Repositories without a key come last in both directions, ordered by id.
    """

    key: Any
    id: int


def find_matching(filters: dict[str, Any]) -> list[int] | None:
    """Return the ids of repositories with a task that the filters select, if few tasks are."""
    rows = _matching(*filters).execute(**filters, number=MATCHES_MAX + 1).fetchall()
    if sum(number for _, number in rows) > MATCHES_MAX:
        return None
    return [repository_id for repository_id, _ in rows]


@lru_cache(maxsize=100)
def _matching(*filters: str) -> CompiledQuery:
    found = Task.select(Task.repository_id).where(IDENTIFIED, *conditions(filters))
    found = found.limit(parameter("number")).alias("found")
    number = fn.count(SQL("*"))
    return CompiledQuery(
        Select((found,), (found.c.repository_id, number)).group_by(found.c.repository_id)
    )


def read_positions(sort: str, after: Position | None, number: int) -> list[Position]:
    """Return the next positions of the sort's index, which may be older facts of a repository."""
    values = {"number": number} | _position_values("after", after)
    found: list[Position] = []
    for query in _positions(sort, after and after.key is None):
        values["number"] = number - len(found)
        found += [Position(*row) for row in query.execute(**values).fetchall()]
        if len(found) == number:
            break
    return found


@lru_cache(maxsize=100)
def _positions(sort: str, after_null: bool | None) -> list[CompiledQuery]:
    """Return the queries of the two ranges of the sort's index: with a key, and without one."""
    column, descending = SORT_COLUMNS[sort.lstrip("-")], sort.startswith("-")

    def query(null: bool, keys: tuple[Any, ...], position: Any) -> CompiledQuery:
        tasks = Task.select(SQL("NULL") if null else column.key, Task.repository_id)
        tasks = tasks.where(IDENTIFIED, column.key.is_null(null))
        if position is not None:
            own = Tuple(*keys) if len(keys) > 1 else keys[0]
            tasks = tasks.where(own < position if descending else own > position)
        order = [key.desc() if descending else key.asc() for key in keys]
        distinct = tasks.group_by(*keys).order_by(*order)
        return CompiledQuery(distinct.limit(parameter("number")))

    queries = []
    if not after_null:
        position = Tuple(parameter("after_key"), parameter("after_id"))
        keys = (column.key, Task.repository_id)
        queries.append(query(False, keys, None if after_null is None else position))
    if column.nullable:
        position = parameter("after_id") if after_null else None
        queries.append(query(True, (Task.repository_id,), position))
    return queries


def read_identified(
    ids: Collection[int] | None,
    sort: str = "name",
    filters: dict[str, Any] | None = None,
    after: Position | None = None,
    until: Position | None = None,
    number: int | None = None,
) -> list[RepositoryRow]:
    """Return the repositories with these ids, or all that have one, in the order of the sort.

    Those that the filters select, beyond the one position and up to the other.
    """
    filters = filters or {}
    values = {
        **filters,
        **_position_values("after", after),
        **_position_values("until", until),
        "number": number,
    }
    if ids is not None:
        values["ids"] = list(ids)
    nulls = (after and after.key is None, until and until.key is None)
    rows = _newest(ids is None, sort, *nulls, *filters).execute(**values).fetchall()
    return to_rows(rows)


@lru_cache(maxsize=1000)
def _newest(
    everything: bool, sort: str, after_null: bool | None, until_null: bool | None, *filters: str
) -> CompiledQuery:
    column, descending = SORT_COLUMNS[sort.lstrip("-")], sort.startswith("-")
    among = IDENTIFIED if everything else Task.repository_id == fn.ANY(parameter("ids"))
    newest = Task.select(Task.id).distinct(Task.repository_id).where(among)
    fetched_at = NodeList((Task.metadata_fetched_at, SQL("DESC NULLS LAST")))
    newest = newest.order_by(Task.repository_id, fetched_at, Task.id.desc())
    key, own_id = column.key, Task.repository_id

    def beyond(name: str, null: bool) -> Any:
        position_id = parameter(f"{name}_id")
        if null:
            return key.is_null() & (own_id < position_id if descending else own_id > position_id)
        position, own = Tuple(parameter(f"{name}_key"), position_id), Tuple(key, own_id)
        return key.is_null() | (own < position if descending else own > position)

    aliases = [f"column_{number}" for number in range(len(columns()))]
    shown = [column.alias(alias) for column, alias in zip(columns(), aliases, strict=True)]
    found = Task.select(*shown, key.alias("sort_key"))
    found = found.where(Task.id.in_(newest), *conditions(filters))
    if after_null is not None:
        found = found.where(beyond("after", after_null))
    if until_null is not None:
        found = found.where(~beyond("until", until_null))
    # PostgreSQL plans this query apart from the sort, whose index it would read to the end.
    found = found.offset(SQL("0")).alias("found")
    direction = "DESC" if descending else "ASC"
    order = ("sort_key IS NULL", f"sort_key {direction}", f"{aliases[0]} {direction}")
    page = Select((found,), [SQL(alias) for alias in aliases]).order_by(*map(SQL, order))
    return CompiledQuery(page.limit(parameter("number")))


def _position_values(name: str, position: Position | None) -> dict[str, Any]:
    if position is None:
        return {}
    return {f"{name}_key": position.key, f"{name}_id": position.id}
