"""Pages of tasks: which ones, in which order, and from where on."""

import base64
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime, timezone
from functools import lru_cache
from typing import Any

from peewee import SQL, Expression, ModelSelect, Tuple, fn

from tracker.database.models import BIGINT_MAX, PRIORITY_RANK, Priority, Task
from tracker.database.queries import Statement, bind

DEFAULT_SORT = "-created_at"
PUNCTUATION = r"[!-/:-@\[-`{-~\s]+"  # what the search column takes for blanks, and blanks


@dataclass(frozen=True)
class Column:
    """A column to sort by, and how its value is read from a cursor."""

    key: Any
    read: Callable[[Any], Any]
    nullable: bool = False


_RANKS = {priority.value: rank for rank, priority in enumerate(Priority, 1)}


def _text(value: Any) -> str:
    if not isinstance(value, str) or "\0" in value:
        raise TypeError
    value.encode()  # a lone surrogate is a ValueError
    return value


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(timezone.utc)  # PostgreSQL takes no offset of 16 hours and more


def _number(value: Any) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= BIGINT_MAX:
        raise TypeError
    return value


def _rank(value: Any) -> int:
    rank = _number(value)
    if rank not in _RANKS.values():
        raise ValueError
    return rank


COLUMNS = {
    "created_at": Column(Task.created_at, _moment),
    "updated_at": Column(Task.updated_at, _moment),
    "due_date": Column(Task.due_date, date.fromisoformat, nullable=True),
    "priority": Column(PRIORITY_RANK, _rank),
    "stars": Column(Task.stars, _number, nullable=True),
    "pushed_at": Column(Task.pushed_at, _moment, nullable=True),
    "title": Column(Task.title, _text),
}
SORTS = [sign + name for name in COLUMNS for sign in ("", "-")]


@dataclass(frozen=True)
class Cursor:
    """The place in a list after one task: its value in the sort's column, and its id."""

    sort: str
    value: Any
    id: int

    @classmethod
    def after(cls, task: str, sort: str) -> "Cursor":
        """Give the place after this task, which comes as JSON."""
        name, found = sort.lstrip("-"), json.loads(task)
        value = _RANKS[found[name]] if name == "priority" else found[name]
        return cls(sort, None if value is None else COLUMNS[name].read(value), found["id"])

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
        except (ValueError, TypeError, RecursionError, OverflowError):
            raise ValueError("Is not a cursor that this list gave for this sort.") from None

    def __str__(self) -> str:
        value = self.value.isoformat() if isinstance(self.value, date) else self.value
        text = json.dumps([self.sort, value, self.id], ensure_ascii=False, separators=(",", ":"))
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@dataclass(frozen=True)
class Page:
    """Some tasks in order, each as JSON, and the place after them if there are more."""

    tasks: list[str]
    next: Cursor | None
    total: int | None


def read_page(
    filters: dict[str, Any], sort: str, limit: int, cursor: Cursor | None, total: bool
) -> Page:
    """Read the page after the cursor, on the borrowed connection."""
    values = {name: _VALUES.get(name, _same)(value) for name, value in filters.items()}
    place = {"value": cursor.value, "id": cursor.id} if cursor else {}
    tasks: list[str] = []
    # One more than asked for, to know whether there is a next page.
    for part in _parts(limit + 1, sort, cursor and (cursor.value is not None), *filters):
        tasks += [task for (task,) in part.run(**values, **place).fetchall()]
        if len(tasks) > limit:
            break
    return Page(
        tasks[:limit],
        Cursor.after(tasks[limit - 1], sort) if len(tasks) > limit else None,
        _count(*filters).run(**values).fetchone()[0] if total else None,
    )


@lru_cache(maxsize=1000)
def _parts(limit: int, sort: str, valued: bool | None, *filters: str) -> list[Statement]:
    """Give so much of the list from a cursor on, as one or two ranges of the sort's index.

    Nulls come last in both directions, as a range of their own: so one index serves both, and
    each range starts right at the cursor, however far into the list it is. `valued` tells whether
    the cursor has a value; None is for no cursor.
    """
    column = COLUMNS[sort.lstrip("-")]
    descending = sort.startswith("-")
    rows = _filtered(Task.select(Task.json), filters).limit(SQL(str(limit)))

    def ordered(*keys: Any) -> "ModelSelect[Task]":
        return rows.order_by(*[key.desc() if descending else key.asc() for key in keys])

    def beyond(key: Any, place: Any) -> Any:
        return key < place if descending else key > place

    parts = []
    if valued is not False:
        part = ordered(column.key, Task.id)
        if column.nullable:
            part = part.where(column.key.is_null(False))
        if valued:
            place = Tuple(bind("value"), bind("id"))
            part = part.where(beyond(Tuple(column.key, Task.id), place))
        parts.append(part)
    if column.nullable:
        part = ordered(Task.id).where(column.key.is_null())
        if valued is False:
            part = part.where(beyond(Task.id, bind("id")))
        parts.append(part)
    return [Statement(part, prepared=not filters) for part in parts]


@lru_cache(maxsize=1000)
def _count(*filters: str) -> Statement:
    return Statement(_filtered(Task.select(fn.count(SQL("*"))), filters))


def _filtered(select: "ModelSelect[Task]", filters: Iterable[str]) -> "ModelSelect[Task]":
    for name in filters:
        select = select.where(_FILTERS[name])
    return select


def search_words(text: str) -> list[str]:
    """Find the words to search by; each is found by prefix, and all have to be."""
    return [word for word in re.split(PUNCTUATION, text) if any(map(str.isalnum, word))]


def _search_query(text: str) -> str:
    # Punctuation is gone from the words, so none can end its quotes.
    return " & ".join(f"'{word}':*" for word in search_words(text))


def _same(value: Any) -> Any:
    return value


_FILTERS = {
    "status": Task.status == bind("status"),
    "priority": Task.priority == bind("priority"),
    "tag": Expression(Task.tags, "@>", bind("tag")),
    "repository": fn.lower(Task.repository) == bind("repository"),
    "archived": Task.archived == bind("archived"),
    "metadata_status": Task.metadata_status == bind("metadata_status"),
    "due_before": Task.due_date < bind("due_before"),
    "q": Expression(Task.search, "@@", fn.to_tsquery("simple", bind("q"))),
}
_VALUES: dict[str, Callable[[Any], Any]] = {"repository": str.lower, "q": _search_query}
