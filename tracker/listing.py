"""Pages of tasks: which ones, in which order, and from where on."""

import base64
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

from peewee import SQL, ModelSelect, Tuple, fn

from .models import BIGINT_MAX, PRIORITY_RANK, Priority, Task

DEFAULT_SORT = "-created_at"
PUNCTUATION = r"[!-/:-@\[-`{-~\s]+"  # what the search column takes for blanks, and blanks


@dataclass(frozen=True)
class Column:
    """A column to sort by, and how its value travels in a cursor."""

    key: Any
    read: Callable[[Any], Any]
    value: Callable[[Task], Any]
    nullable: bool = False


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    value.encode()  # a lone surrogate is a ValueError
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value)
    if moment.tzinfo is None:
        raise ValueError
    return moment


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= BIGINT_MAX:
        raise TypeError
    return value


_RANKS = {priority.value: rank for rank, priority in enumerate(Priority, 1)}

COLUMNS = {
    "created_at": Column(Task.created_at, _moment, lambda task: task.created_at),
    "updated_at": Column(Task.updated_at, _moment, lambda task: task.updated_at),
    "due_date": Column(Task.due_date, date.fromisoformat, lambda task: task.due_date, True),
    "priority": Column(PRIORITY_RANK, _number, lambda task: _RANKS[task.priority]),
    "stars": Column(Task.stars, _number, lambda task: task.stars, True),
    "pushed_at": Column(Task.pushed_at, _moment, lambda task: task.pushed_at, True),
    "title": Column(Task.title, _text, lambda task: task.title),
}
SORTS = [sign + name for name in COLUMNS for sign in ("", "-")]


@dataclass(frozen=True)
class Cursor:
    """The place in a list after one task: its value in the sort's column, and its id."""

    sort: str
    value: Any
    id: int

    @classmethod
    def after(cls, task: Task, sort: str) -> "Cursor":
        """Give the place after this task."""
        return cls(sort, COLUMNS[sort.lstrip("-")].value(task), task.id)

    @classmethod
    def parse(cls, text: str, sort: str) -> "Cursor":
        """Read a cursor for this sort.

        Raises:
            ValueError: it is none of ours, or of another sort.
        """
        try:
            padded = text + "=" * (-len(text) % 4)
            found, value, task_id = json.loads(base64.b64decode(padded, "-_", validate=True))
            column = COLUMNS[sort.lstrip("-")]
            if found != sort or (value is None and not column.nullable):
                raise ValueError
            return cls(sort, None if value is None else column.read(value), _number(task_id))
        except (ValueError, TypeError, RecursionError):
            raise ValueError("Is not a cursor that this list gave for this sort.") from None

    def __str__(self) -> str:
        value = self.value.isoformat() if isinstance(self.value, date) else self.value
        text = json.dumps([self.sort, value, self.id], ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@dataclass(frozen=True)
class Page:
    """Some tasks in order, and the place after them if there are more."""

    tasks: list[Task]
    next: Cursor | None
    total: int | None


def read_page(
    filters: dict[str, Any], sort: str, limit: int, cursor: Cursor | None, total: bool
) -> Page:
    """Read the page after the cursor, on the borrowed connection."""
    tasks: list[Task] = []
    for part in _parts(sort, cursor):
        # One more than asked for, to know whether there is a next page.
        tasks.extend(_filtered(part, filters).limit(limit + 1 - len(tasks)))
        if len(tasks) > limit:
            break
    more = len(tasks) > limit
    return Page(
        tasks[:limit],
        Cursor.after(tasks[limit - 1], sort) if more else None,
        _filtered(Task.select(), filters).count() if total else None,
    )


def _filtered(select: "ModelSelect[Task]", filters: dict[str, Any]) -> "ModelSelect[Task]":
    for name, value in filters.items():
        select = select.where(_FILTERS[name](value))
    return select


def _parts(sort: str, cursor: Cursor | None) -> Iterator["ModelSelect[Task]"]:
    """Give the list from the cursor on, as one or two ranges of the sort's index.

    Nulls come last in both directions, as a range of their own: so one index serves both, and
    each range starts right at the cursor, however far into the list it is.
    """
    column = COLUMNS[sort.lstrip("-")]
    descending = sort.startswith("-")

    def ordered(select: "ModelSelect[Task]", *keys: Any) -> "ModelSelect[Task]":
        return select.order_by(*[key.desc() if descending else key.asc() for key in keys])

    def beyond(key: Any, place: Any) -> Any:
        return key < place if descending else key > place

    if cursor is None or cursor.value is not None:
        part = ordered(Task.read(), column.key, Task.id)
        if column.nullable:
            part = part.where(column.key.is_null(False))
        if cursor:
            place = Tuple(cursor.value, cursor.id)
            part = part.where(beyond(Tuple(column.key, Task.id), place))
        yield part
    if column.nullable:
        part = ordered(Task.read(), Task.id).where(column.key.is_null())
        if cursor and cursor.value is None:
            part = part.where(beyond(Task.id, cursor.id))
        yield part


def search_words(text: str) -> list[str]:
    """Find the words to search by; each is found by prefix, and all have to be."""
    return [word for word in re.split(PUNCTUATION, text) if any(map(str.isalnum, word))]


def _search(text: str) -> Any:
    # Punctuation is gone from the words, so none can end its quotes.
    query = " & ".join(f"'{word}':*" for word in search_words(text))
    return SQL("search @@ to_tsquery('simple', %s)", (query,))


_FILTERS: dict[str, Callable[[Any], Any]] = {
    "status": lambda value: Task.status == value,
    "priority": lambda value: Task.priority == value,
    "tag": lambda values: Task.tags.contains(*values),
    "repository": lambda name: fn.lower(Task.repository) == name.lower(),
    "archived": lambda value: Task.archived == value,
    "metadata_status": lambda value: Task.metadata_status == value,
    "due_before": lambda value: Task.due_date < value,
    "q": _search,
}
