"""Ids and filters: which tasks a verb is about."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import date, datetime, time
from functools import wraps
from typing import Any, TypeVar

import click

from ..tasks.dates import parse_when
from ..tasks.phrases import ago
from .client import Client

F = TypeVar("F", bound=Callable[..., Any])
STATUSES = ("open", "in_progress", "done")
UNFINISHED = ("open", "in_progress")
TIME = "a date such as 2026-12-01, a time such as 2026-12-01T09:30:00Z, or 7d for a week ago"


class Day(click.ParamType[str]):
    """A date as in `due:`; its value is an ISO date, or `none`."""

    name = "when"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the date."""
        try:
            day = parse_when(value, date.today())
        except ValueError as error:
            self.fail(str(error))
        return day.isoformat() if day else "none"


class Moment(click.ParamType[str]):
    """A time as the API takes it, a date (its start), or a duration ago such as `7d`."""

    name = "time"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the time with an offset."""
        try:
            return (datetime.now().astimezone() - ago(value)).isoformat()
        except ValueError:
            pass
        try:
            moment = datetime.fromisoformat(value.replace("Z", "+00:00"))
            if len(value) > len("2026-12-01"):
                return moment.astimezone().isoformat()
        except OverflowError:
            self.fail(f"{value} is out of range")
        except ValueError:
            pass
        try:
            day = parse_when(value, date.today())
        except ValueError:
            day = None
        if day is None:
            self.fail(f"{value!r} is no time; use {TIME}")
        try:
            return datetime.combine(day, time()).astimezone().isoformat()
        except (OverflowError, ValueError):
            self.fail(f"{value} is out of range")


class NoDay(click.Choice[str]):
    """The word `none`."""

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the word; a date belongs to other options."""
        if value != "none":
            self.fail(f"{value!r} is not none; for days take --due-before and --due-after")
        return str(value)


class Id(click.ParamType[int]):
    """The id of a task, with or without `#`."""

    name = "id"

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return the number."""
        digits = str(value).removeprefix("#")
        if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and int(digits)):
            self.fail(f"{value!r} is no task's id; filters are options, such as --tag upgrade")
        return int(digits)


# The parameters of the API's filters, with the type of a value and whether they may repeat.
FILTERS: dict[str, tuple[Any, bool, str]] = {
    "status": (click.Choice(STATUSES), True, "With this status; repeat for any of several."),
    "priority": (click.Choice(["low", "normal", "high"]), True, "With this priority; repeat."),
    "tag": (str, True, "With this tag; repeat for all of several."),
    "repository": (str, False, "On this repository, now or formerly."),
    "owner": (str, False, "On repositories of this owner."),
    "archived": (bool, False, "On repositories that are archived, or are not."),
    "fork": (bool, False, "On repositories that are forks, or are not."),
    "language": (str, True, "With this language; repeat for any of several."),
    "license": (str, True, "With this license (SPDX); repeat for any of several."),
    "topic": (str, True, "With this topic; repeat for all of several."),
    "metadata_status": (
        click.Choice(["current", "pending", "unavailable"]),
        True,
        "With metadata in this state; repeat.",
    ),
    "due": (NoDay(["none"]), False, "Without a due date."),
    "due_before": (Day(), False, "Due before this day."),
    "due_after": (Day(), False, "Due after this day."),
    "created_after": (Moment(), False, "Created after this time."),
    "updated_since": (Moment(), False, "Changed at this time or later."),
    "pushed_before": (Moment(), False, "Last pushed to before this time."),
    "completed_after": (Moment(), False, "Completed after this time."),
    "q": (str, False, "With these words, by their beginning."),
}
KINDS = (
    *("renamed", "archived", "unarchived", "unavailable", "available"),
    *("license", "visibility"),
)
# Those of repositories and of changes; the names that they share with tasks' are above.
OTHERS: dict[str, tuple[Any, bool, str]] = {
    "fetched_before": (Moment(), False, "With metadata that GitHub last confirmed before then."),
    "since": (Moment(), False, "Seen at this time or later."),
    "kind": (click.Choice(KINDS), True, "Of this kind; repeat for any of several."),
}


@dataclass
class Selection:
    """Tasks by id, or by filters."""

    ids: tuple[int, ...] = ()
    query: dict[str, Any] = field(default_factory=dict)
    every: bool = False  # with any status

    @property
    def empty(self) -> bool:
        """Whether neither ids nor filters are given."""
        return not self.ids and not self.query

    def filters(self, statuses: Iterable[str]) -> dict[str, Any]:
        """Return the query, narrowed to these statuses unless it says which ones."""
        if self.every or "status" in self.query:
            return self.query or {"status": STATUSES}
        return {**self.query, "status": tuple(statuses)}

    def read(self, client: Client, statuses: Iterable[str] = UNFINISHED) -> list[dict[str, Any]]:
        """Return the tasks, each once.

        Raises:
            Refused: one does not exist, or a filter is invalid.
        """
        if self.ids:
            return [client.task(number) for number in dict.fromkeys(self.ids)]
        return list(client.every("/tasks", self.filters(statuses)))


def filter_options(*names: str) -> Callable[[F], F]:
    """Return a decorator that adds an option for these filters, or for all those of tasks.

    The values are in the context's `meta["query"]`.
    """

    def keep(context: click.Context, parameter: click.Parameter, value: Any) -> None:
        if value is None or value == ():
            return
        if isinstance(value, bool):
            value = str(value).lower()
        context.meta.setdefault("query", {})[parameter.name] = value

    def add(function: F) -> F:
        for name in reversed(names or tuple(FILTERS)):
            kind, repeats, text = (FILTERS | OTHERS)[name]
            options: dict[str, Any] = {"type": kind, "multiple": repeats, "help": text}
            if kind is bool:
                options |= {"metavar": "[true|false]"}
            option = click.option(
                f"--{name.replace('_', '-')}", name, callback=keep, expose_value=False, **options
            )
            function = option(function)
        return function

    return add


def _remedy(command: click.Command, query: dict[str, Any]) -> str:
    """Return which options change the fields that these filters are about."""
    known = {name for parameter in command.params for name in parameter.opts}
    wanted = ["--add-tag" if name == "tag" else f"--set-{name}" for name in query]
    found = [option for option in wanted if option in known]
    return f"; to change a field, take {', '.join(found)}" if found else ""


def selection_options(function: F) -> F:
    """Add ids and filters; the function gets them as its parameter `selection`."""

    @wraps(function)
    def run(ids: tuple[int, ...], every: bool, **options: Any) -> Any:
        context = click.get_current_context()
        query = context.meta.get("query", {})
        if ids and (query or every):
            remedy = _remedy(context.command, query)
            raise click.UsageError(f"take ids or filters, not both{remedy}")
        return function(selection=Selection(ids, query, every), **options)

    text = "Whatever the status; without it, finished tasks are left out."
    run = click.option("--all", "every", is_flag=True, help=text)(filter_options()(run))
    return click.argument("ids", nargs=-1, type=Id())(run)  # type: ignore[return-value]
