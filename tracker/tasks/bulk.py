"""Changes and deletions of all tasks that the filters of a list select."""

from functools import lru_cache
from typing import Any, NamedTuple

from ..database import bulk
from ..database.compiled import CompiledQuery
from ..database.connection import connection, database, retry_on_conflict
from ..database.models import TAGS_MAX, Task
from ..errors import TooManyTags, UnexpectedMatches
from .filters import apply_filters, filter_values
from .service import search_slot


class Outcome(NamedTuple):
    """The number of tasks that the filters selected, and of those that are different now."""

    matched: int
    changed: int


def update_tasks(filters: dict[str, Any], expect: int | None, fields: dict[str, Any]) -> Outcome:
    """Change these fields of every task that the filters select, in one transaction.

    Beside a task's own fields there may be `add_tags` and `remove_tags`. Values that a task has
    already change nothing, not even its version.

    Raises:
        UnexpectedMatches: the filters select another number than `expect`.
        TooManyTags: a task would have more than TAGS_MAX tags.
        TooManySearches: too many other requests are searching.
        DatabaseUnavailable: nothing is changed.
    """
    values = dict(fields)
    added, removed = values.pop("add_tags", []), values.pop("remove_tags", [])
    if added or removed:
        values["tags"] = bulk.with_tags(added, removed)
    with search_slot(filters):
        return _update(filters, expect, values, added)


@retry_on_conflict
def _update(
    filters: dict[str, Any], expect: int | None, values: dict[str, Any], added: list[str]
) -> Outcome:
    with connection(), database.atomic():
        task_ids = _lock(filters, expect)
        if added and (number := bulk.count_too_many_tags(task_ids, values["tags"])):
            raise TooManyTags(
                f"Number of tasks that would have more than {TAGS_MAX} tags: {number:,}."
            )
        return Outcome(len(task_ids), bulk.update_tasks(task_ids, values))


def delete_tasks(filters: dict[str, Any], expect: int | None) -> Outcome:
    """Delete every task that the filters select, in one transaction.

    Raises:
        UnexpectedMatches: the filters select another number than `expect`.
        TooManySearches: too many other requests are searching.
        DatabaseUnavailable: nothing is deleted.
    """
    with search_slot(filters):
        return _delete(filters, expect)


@retry_on_conflict
def _delete(filters: dict[str, Any], expect: int | None) -> Outcome:
    with connection(), database.atomic():
        task_ids = _lock(filters, expect)
        return Outcome(len(task_ids), bulk.delete_tasks(task_ids))


def _lock(filters: dict[str, Any], expect: int | None) -> list[int]:
    """Return the ids of the selected tasks, which no other transaction can change from now on."""
    rows = _lock_query(*filters).execute(**filter_values(filters)).fetchall()
    if expect is not None and expect != len(rows):
        message = f"Number of selected tasks is {len(rows):,}, not {expect:,}; list them again."
        raise UnexpectedMatches(message)
    return [task_id for (task_id,) in rows]


@lru_cache(maxsize=1000)
def _lock_query(*filters: str) -> CompiledQuery:
    """Return the query that locks tasks in the order of their ids.

    In one order for all transactions, locks are no deadlock.
    """
    if not filters:
        raise ValueError("a bulk request needs a filter")
    selected = apply_filters(Task.select(Task.id), filters)
    return CompiledQuery(selected.order_by(Task.id).for_update())
