"""Pages of tasks: sort orders, cursors, and the statements that read a page."""

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import lru_cache
from typing import Any

from peewee import SQL, ModelSelect, Select, Tuple, fn

from ..database.compiled import CompiledQuery, parameter
from ..database.models import BIGINT_MAX, Priority, Task, priority_rank, title_key
from ..database.queries import json_columns
from .filters import apply_filters, filter_condition, filter_values

DEFAULT_SORT = "-created_at"
SCAN_MAX = 10_000  # tasks to look at in the order of the list; some 20 ms


@dataclass(frozen=True)
class SortColumn:
    """A column to sort by, the check of its value in a cursor, and that value's sort key."""

    key: Any
    parse: Callable[[Any], Any]
    nullable: bool = False
    to_key: Callable[[Any], Any] = lambda value: value


_RANKS = {priority.value: rank for rank, priority in enumerate(Priority, 1)}


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    value.encode()  # half of a surrogate pair is a ValueError
    return value


def _date(value: Any) -> date:
    if not isinstance(value, str):
        raise TypeError
    return date.fromisoformat(value)


def _time(value: Any) -> datetime:
    if not isinstance(value, str):
        raise TypeError
    time = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if time.tzinfo is None:
        raise ValueError
    return time.astimezone(timezone.utc)  # PostgreSQL accepts no offset of 16 hours and more


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= BIGINT_MAX:
        raise TypeError
    return value


def _rank(value: Any) -> int:
    rank = _number(value)
    if rank not in _RANKS.values():
        raise ValueError
    return rank


SORT_COLUMNS = {
    "created_at": SortColumn(Task.created_at, _time),
    "updated_at": SortColumn(Task.updated_at, _time),
    "due_date": SortColumn(Task.due_date, _date, nullable=True),
    "priority": SortColumn(priority_rank(Task.priority), _rank),
    "stars": SortColumn(Task.stars, _number, nullable=True),
    "pushed_at": SortColumn(Task.pushed_at, _time, nullable=True),
    "completed_at": SortColumn(Task.completed_at, _time, nullable=True),
    "title": SortColumn(title_key, _text, to_key=fn.title_key),
}
SORTS = [sign + name for name in SORT_COLUMNS for sign in ("", "-")]


@dataclass(frozen=True)
class Cursor:
    """The position after a task: its value in the sort's column, and its id."""

    sort: str
    value: Any
    id: int

    @classmethod
    def after(cls, task_json: str, sort: str) -> "Cursor":
        """Return the position after a task."""
        name, task = sort.lstrip("-"), json.loads(task_json)
        value = _RANKS[task[name]] if name == "priority" else task[name]
        return cls(sort, None if value is None else SORT_COLUMNS[name].parse(value), task["id"])

    @classmethod
    def parse(cls, text: str, sort: str) -> "Cursor":
        """Parse a cursor for this sort.

        Raises:
            ValueError: no list returned it for this sort.
        """
        try:
            padded = text + "=" * (-len(text) % 4)
            found, value, task_id = json.loads(base64.b64decode(padded, "-_", validate=True))
            column = SORT_COLUMNS[sort.lstrip("-")]
            if found != sort or (value is None and not column.nullable):
                raise ValueError
            return cls(sort, None if value is None else column.parse(value), _number(task_id))
        except (ValueError, TypeError, RecursionError, OverflowError):
            raise ValueError("Is not a cursor of this list and sort.") from None

    def __str__(self) -> str:
        value = self.value.isoformat() if isinstance(self.value, date) else self.value
        text = json.dumps([self.sort, value, self.id], ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@dataclass(frozen=True)
class Page:
    """Tasks in order, each as JSON; the cursor of the next page; the number of all tasks."""

    tasks: list[str]
    next: Cursor | None
    total: int | None


def read_page(
    filters: dict[str, Any], sort: str, limit: int, cursor: Cursor | None, total: bool
) -> Page:
    """Return the page after the cursor, on the checked-out connection."""
    values = filter_values(filters)
    if cursor:
        values |= {"cursor_value": cursor.value, "cursor_id": cursor.id}
    from_null = None if cursor is None else cursor.value is None
    tasks: list[str] = []
    # One more than the limit tells whether there is a next page.
    for attempts in _ranges(limit + 1, sort, from_null, *filters):
        for query in attempts:
            found = [task for (task,) in query.execute(**values).fetchall()]
            if len(found) > limit:
                break
        tasks += found
        if len(tasks) > limit:
            break
    return Page(
        tasks[:limit],
        Cursor.after(tasks[limit - 1], sort) if len(tasks) > limit else None,
        _count(*filters).execute(**values).fetchone()[0] if total else None,
    )


@lru_cache(maxsize=1000)
def _ranges(
    limit: int, sort: str, from_null: bool | None, *filters: str
) -> list[list[CompiledQuery]]:
    """Return the rest of the list as one or two ranges of the sort's index.

    Nulls are last in both directions, as a range of their own: so one index serves both, and
    each range starts at the cursor, at any depth of the list. `from_null` is whether the cursor
    is among the nulls, or None without a cursor.

    Each range is read by the first of its queries that fills the page, or else by the last.
    """
    column = SORT_COLUMNS[sort.lstrip("-")]
    descending = sort.startswith("-")

    def after(key: Any, position: Any) -> Any:
        return key < position if descending else key > position

    ranges: list[tuple[Any, tuple[Any, ...]]] = []
    if not from_null:
        tasks = Task.select()
        if column.nullable:
            tasks = tasks.where(column.key.is_null(False))
        if from_null is not None:
            position = Tuple(column.to_key(parameter("cursor_value")), parameter("cursor_id"))
            tasks = tasks.where(after(Tuple(column.key, Task.id), position))
        ranges.append((tasks, (column.key, Task.id)))
    if column.nullable:
        tasks = Task.select().where(column.key.is_null())
        if from_null:
            tasks = tasks.where(after(Task.id, parameter("cursor_id")))
        ranges.append((tasks, (Task.id,)))
    return [
        [
            CompiledQuery(query.limit(SQL(str(limit))), prepare=not filters)
            for query in _queries(tasks, keys, descending, filters)
        ]
        for tasks, keys in ranges
    ]


def _queries(
    tasks: "ModelSelect[Task]", keys: tuple[Any, ...], descending: bool, filters: tuple[str, ...]
) -> list[Any]:
    """Return queries of the tasks that the filters select, in the order of the keys.

    PostgreSQL takes a rare word, tag or topic for a common one, and would scan the sort's whole
    index. So the first query scans SCAN_MAX tasks only. If they do not fill the page, the second
    one reads all that is found, and sorts it.
    """
    order = [key.desc() if descending else key.asc() for key in keys]
    json = json_columns()[2]
    if "repository" in filters or not {"q", "tag", "topic"}.intersection(filters):
        return [apply_filters(tasks.select(json), filters).order_by(*order)]
    selected = filter_condition(filters).alias("selected")
    scanned = tasks.select(SQL("*"), selected).order_by(*order).limit(SQL(str(SCAN_MAX)))
    found = apply_filters(tasks.select(SQL("*"), keys[0].alias("sort_key")), filters)
    found = found.offset(SQL("0"))  # PostgreSQL plans this query apart from the sort
    direction = "DESC" if descending else "ASC"
    return [
        # A subquery keeps its order.
        Select((scanned.alias("scanned"),), (json,)).where(SQL("selected")),
        Select((found.alias("found"),), (json,)).order_by(
            SQL(f"sort_key {direction}"), SQL(f"id {direction}")
        ),
    ]


@lru_cache(maxsize=1000)
def _count(*filters: str) -> CompiledQuery:
    return CompiledQuery(apply_filters(Task.select(fn.count(SQL("*"))), filters))
