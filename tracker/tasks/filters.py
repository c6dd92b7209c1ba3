"""Filters of a list: the condition of each."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import reduce
from operator import and_
from typing import Any

from peewee import Cast, Expression, ModelSelect, fn

from ..database.compiled import parameter
from ..database.models import Task, priority_rank, repository_key
from ..database.queries import current_names


@dataclass(frozen=True)
class Filter:
    """The condition for a value of the filter's own name, and how the value is stored."""

    condition: Any
    convert: Callable[[Any], Any] = lambda value: value


FILTERS = {
    "status": Filter(Task.status == parameter("status")),
    "priority": Filter(priority_rank(Task.priority) == priority_rank(parameter("priority"))),
    "tag": Filter(Expression(Task.tag_keys, "@>", fn.lower_tags(parameter("tag")))),
    "repository": Filter(repository_key == fn.ANY(parameter("repository")), current_names),
    "archived": Filter(Task.archived == parameter("archived")),
    "metadata_status": Filter(Task.metadata_status == parameter("metadata_status")),
    "due_before": Filter(Task.due_date < parameter("due_before")),
    "q": Filter(Expression(Task.search, "@@", Cast(parameter("q"), "tsquery"))),
}


def filter_condition(names: Iterable[str]) -> Any:
    """Return the condition that every filter selects a task."""
    return reduce(and_, (FILTERS[name].condition for name in names))


def apply_filters(select: "ModelSelect[Task]", names: Iterable[str]) -> "ModelSelect[Task]":
    """Return the query narrowed to the tasks that every filter selects."""
    for name in names:
        select = select.where(FILTERS[name].condition)
    return select


def filter_values(filters: dict[str, Any]) -> dict[str, Any]:
    """Return the values with which the query is executed."""
    return {name: FILTERS[name].convert(value) for name, value in filters.items()}
