"""Filters of a list, each declared once: the schema, the document and the statements follow."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import date, datetime
from enum import Enum
from functools import reduce
from operator import and_, attrgetter
from typing import Any

from peewee import SQL, Cast, Expression, ModelSelect, fn

from ..database.compiled import parameter
from ..database.models import (
    MetadataStatus,
    Priority,
    Status,
    Task,
    language_key,
    license_key,
    priority_rank,
    repository_key,
)
from ..database.queries import current_names
from ..github.names import RepositoryReference
from .search import parse_search


class Kind(Enum):
    """Kinds of text."""

    TAG = "tag"
    SEARCH = "search"
    OWNER = "[A-Za-z0-9_-]{1,39}"
    TOPIC = "[A-Za-z0-9-]{1,50}"
    LANGUAGE = "[ -~]{1,40}"
    LICENSE = "[A-Za-z0-9.+-]{1,40}"


class Due(str, Enum):
    """Whether a task is due at all."""

    NONE = "none"


@dataclass(frozen=True)
class Filter:
    """A parameter of a list, and the condition for a value of the filter's own name.

    `type` is that of a value: a Kind of text, an enumeration, or a class. A filter that may
    repeat has a list of up to `repeats` values. `one` is the condition for a list of one value:
    PostgreSQL reads an index in its order for `=`, but not for `= ANY`. `parse` reads the value,
    and raises ValueError; `convert` returns it as it is stored, on the checked-out connection.
    """

    type: Any
    description: str
    example: Any
    condition: Any
    repeats: int = 0
    one: Any = None
    parse: Callable[[Any], Any] = lambda value: value
    convert: Callable[[Any], Any] = lambda value: value


def _any_of(column: Any, name: str) -> Any:
    return column == fn.ANY(parameter(name))


def _lower(values: list[str]) -> list[str]:
    return [value.lower() for value in values]


_RANKS = {priority.value: rank for rank, priority in enumerate(Priority, 1)}
_OWNER = parameter("owner").params

FILTERS = {
    "status": Filter(
        Status,
        "Only tasks with this status. Repeat for any of several.",
        ["open"],
        _any_of(Task.status, "status"),
        repeats=len(Status),
    ),
    "priority": Filter(
        Priority,
        "Only tasks with this priority. Repeat for any of several.",
        ["high"],
        _any_of(priority_rank(Task.priority), "priority"),
        repeats=len(Priority),
        convert=lambda values: [_RANKS[value] for value in values],
    ),
    "tag": Filter(
        Kind.TAG,
        "Only tasks with this tag, in any letter case. Repeat for all of several.",
        ["reading"],
        Expression(Task.tag_keys, "@>", fn.lower_tags(parameter("tag"))),
        repeats=20,
    ),
    "repository": Filter(
        RepositoryReference,
        "Only tasks on this repository: `owner/name` or a URL, now or formerly.",
        "pallets/flask",
        _any_of(repository_key, "repository"),
        parse=attrgetter("name"),
        convert=current_names,
    ),
    "owner": Filter(
        Kind.OWNER,
        "Only tasks on repositories of this user or organization, in any letter case.",
        "pallets",
        # A range of the index on the name; 0 is the character after the slash.
        (repository_key > SQL("%s || '/'", _OWNER)) & (repository_key < SQL("%s || '0'", _OWNER)),
        convert=str.lower,
    ),
    "archived": Filter(
        bool,
        "Only tasks whose repository is archived, or is not.",
        False,
        Task.archived == parameter("archived"),
    ),
    "fork": Filter(
        bool,
        "Only tasks whose repository is a fork, or is not.",
        False,
        Task.fork == parameter("fork"),
    ),
    "language": Filter(
        Kind.LANGUAGE,
        "Only tasks with this language, in any letter case. Repeat for any of several.",
        ["Python"],
        _any_of(language_key, "language"),
        repeats=10,
        one=language_key == parameter("language="),
        convert=_lower,
    ),
    "license": Filter(
        Kind.LICENSE,
        "Only tasks with this license (SPDX), in any letter case. Repeat for any of several.",
        ["BSD-3-Clause"],
        _any_of(license_key, "license"),
        repeats=10,
        one=license_key == parameter("license="),
        convert=_lower,
    ),
    "topic": Filter(
        Kind.TOPIC,
        "Only tasks whose repository has this topic. Repeat for all of several.",
        ["python"],
        Expression(Task.topics, "@>", Cast(parameter("topic"), "text[]")),
        repeats=10,
        convert=_lower,
    ),
    "metadata_status": Filter(
        MetadataStatus,
        "Only tasks whose metadata are in this state. Repeat for any of several.",
        ["current"],
        _any_of(Task.metadata_status, "metadata_status"),
        repeats=len(MetadataStatus),
    ),
    "due": Filter(Due, "`none`: only tasks without a due date.", "none", Task.due_date.is_null()),
    "due_before": Filter(
        date,
        "Only tasks due before this day.",
        "2030-02-01",
        Task.due_date < parameter("due_before"),
    ),
    "due_after": Filter(
        date, "Only tasks due after this day.", "2030-01-01", Task.due_date > parameter("due_after")
    ),
    "created_after": Filter(
        datetime,
        "Only tasks created after this time.",
        "2026-11-01T00:00:00Z",
        Task.created_at > parameter("created_after"),
    ),
    "updated_since": Filter(
        datetime,
        "Only tasks changed at this time or later.",
        "2026-11-01T00:00:00Z",
        Task.updated_at >= parameter("updated_since"),
    ),
    "pushed_before": Filter(
        datetime,
        "Only tasks whose repository was last pushed to before this time.",
        "2026-11-01T00:00:00Z",
        Task.pushed_at < parameter("pushed_before"),
    ),
    "completed_after": Filter(
        datetime,
        "Only tasks completed after this time.",
        "2026-11-01T00:00:00Z",
        Task.completed_at > parameter("completed_after"),
    ),
    "q": Filter(
        Kind.SEARCH,
        "Words of title, description, tags, repository and its description, by their beginning; "
        '`"a phrase"`, `-excluded`, `or`.',
        "flask err",
        Expression(Task.search, "@@", Cast(parameter("q"), "tsquery")),
        parse=parse_search,
    ),
}


def filter_key(filters: dict[str, Any]) -> tuple[str, ...]:
    """Return the names of the filters, with `=` after one that has its condition for one value.

    The filters of equal keys differ in their values alone.
    """
    return tuple(
        f"{name}=" if FILTERS[name].one and len(value) == 1 else name
        for name, value in filters.items()
    )


def filter_condition(names: Iterable[str]) -> Any:
    """Return the condition that every filter selects a task."""
    return reduce(and_, map(_condition, names))


def apply_filters(select: "ModelSelect[Task]", names: Iterable[str]) -> "ModelSelect[Task]":
    """Return the query narrowed to the tasks that every filter selects."""
    for name in names:
        select = select.where(_condition(name))
    return select


def filter_values(filters: dict[str, Any]) -> dict[str, Any]:
    """Return the values with which the query is executed."""
    values = {name: FILTERS[name].convert(value) for name, value in filters.items()}
    return values | {f"{name}=": values[name][0] for name in filters if FILTERS[name].one}


def _condition(name: str) -> Any:
    return FILTERS[name[:-1]].one if name.endswith("=") else FILTERS[name].condition
