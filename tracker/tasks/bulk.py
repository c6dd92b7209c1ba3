"""Changes and deletions of all tasks that the filters of a list select."""

from typing import Any, NamedTuple

from peewee import IntegrityError

from ..database import bulk, queries
from ..database.connection import connection, database, retry_on_conflict
from ..database.models import TAGS_MAX
from ..errors import TooManyTags, UnexpectedMatches
from .filters import filter_condition, filter_values
from .lists import search_slot


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
    try:
        return _write(filters, expect, values)
    except IntegrityError as error:
        if "tasks_tags_number" not in str(error):
            raise
        message = f"Selected tasks would have more than {TAGS_MAX} tags; remove some of theirs."
        raise TooManyTags(message) from error


def delete_tasks(filters: dict[str, Any], expect: int | None) -> Outcome:
    """Delete every task that the filters select, in one transaction.

    Raises:
        UnexpectedMatches: the filters select another number than `expect`.
        TooManySearches: too many other requests are searching.
        DatabaseUnavailable: nothing is deleted.
    """
    return _write(filters, expect, None)


@retry_on_conflict
def _write(filters: dict[str, Any], expect: int | None, values: dict[str, Any] | None) -> Outcome:
    """Store the values in the tasks that the filters select, or delete these without values.

    A task that another request changes meanwhile is left out if the filters no longer select it.
    """
    if not filters:
        raise ValueError("a change of many tasks needs a filter")
    selected = filter_condition(filters)
    with search_slot(filters), connection(), database.atomic():
        queries.lock_changes_of_many()
        parameters = filter_values(filters)
        matched, ids = bulk.select_ids(selected, parameters)
        if expect is not None and expect != matched:
            message = f"Number of selected tasks is {matched:,}, not {expect:,}; list them again."
            raise UnexpectedMatches(message)
        if values is None:
            return Outcome(matched, bulk.delete_tasks(ids, selected, parameters))
        return Outcome(matched, bulk.update_tasks(ids, selected, parameters, values))
