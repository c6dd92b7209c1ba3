"""Orders of a list: each column to sort by, declared once."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from typing import Any

from peewee import fn

from ..database.models import BIGINT_MAX, Priority, Status, Task, priority_rank, title_key

DEFAULT_SORT = "-created_at"


@dataclass(frozen=True)
class SortColumn:
    """A column to sort by, the parser of its value in a cursor, and that value's sort key.

    `parse` raises ValueError or TypeError for a value that the column can't have. `status` is the
    one of all tasks for which the column is not null.
    """

    key: Any
    parse: Callable[[Any], Any]
    nullable: bool = False
    to_key: Callable[[Any], Any] = lambda value: value
    status: Status | None = None


RANKS = {priority.value: rank for rank, priority in enumerate(Priority, 1)}


def parse_text(value: Any) -> str:
    """Return a text that PostgreSQL can compare."""
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    value.encode()  # half of a surrogate pair is a ValueError
    return value


def parse_date(value: Any) -> date:
    """Return a date from a cursor."""
    if not isinstance(value, str):
        raise TypeError
    return date.fromisoformat(value)


def parse_time(value: Any) -> datetime:
    """Return a time from a cursor, in UTC."""
    if not isinstance(value, str):
        raise TypeError
    time = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if time.tzinfo is None:
        raise ValueError
    return time.astimezone(timezone.utc)  # PostgreSQL accepts no offset of 16 hours and more


def parse_number(value: Any) -> int:
    """Return a number of PostgreSQL's bigint from a cursor."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= BIGINT_MAX:
        raise TypeError
    return value


def parse_rank(value: Any) -> int:
    """Return the rank of a priority from a cursor."""
    rank = parse_number(value)
    if rank not in RANKS.values():
        raise ValueError
    return rank


SORT_COLUMNS = {
    "created_at": SortColumn(Task.created_at, parse_time),
    "updated_at": SortColumn(Task.updated_at, parse_time),
    "due_date": SortColumn(Task.due_date, parse_date, nullable=True),
    "priority": SortColumn(priority_rank(Task.priority), parse_rank),
    "stars": SortColumn(Task.stars, parse_number, nullable=True),
    "pushed_at": SortColumn(Task.pushed_at, parse_time, nullable=True),
    "completed_at": SortColumn(Task.completed_at, parse_time, nullable=True, status=Status.DONE),
    "title": SortColumn(title_key, parse_text, to_key=fn.title_key),
}
SORTS = [sign + name for name in SORT_COLUMNS for sign in ("", "-")]
