"""Verbs that change nothing: `list`, `show`, `open`, `changes` and `repos`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import Any

import click

from ..tasks.phrases import count, visible
from . import services
from .client import Client
from .failures import Failure
from .filters import UNFINISHED, Selection, filter_options, selection_options
from .output import Output, Row, output_options, say
from .verbs import verb

SORTS = (
    "created_at",
    "updated_at",
    "due_date",
    "priority",
    "stars",
    "pushed_at",
    "completed_at",
    "title",
)
REPOSITORY_SORTS = ("name", "stars", "pushed_at", "metadata_fetched_at")
LIMIT = 30  # rows, unless --limit says otherwise
OPENED_MAX = 10  # pages of the browser


def sort_option(names: Sequence[str]) -> Any:
    """Return a decorator that adds `--sort`; a minus before a name makes it descending."""
    signed = click.Choice([sign + name for name in names for sign in ("", "-")])
    text = f"One of {', '.join(names)}; -FIELD for descending."
    return click.option("--sort", type=signed, metavar="FIELD", help=text)


def limit_option(function: Any) -> Any:
    """Add `--limit`."""
    text = f"Print so many at most; 0 for all. By default {LIMIT}."
    kind = click.IntRange(0)
    return click.option("-L", "--limit", type=kind, default=LIMIT, metavar="N", help=text)(function)


PLAIN = (
    "id",
    "status",
    "priority",
    "due_date",
    "repository",
    "issue",
    "stars",
    "pushed_at",
    "tags",
    "title",
)


def plain_task(task: Row) -> list[Any]:
    """Return the cells of a task in a pipe."""
    return [task[name] for name in PLAIN]


def print_tasks(tasks: list[Row], output: Output) -> None:
    """Print a table of tasks; rich is imported for people alone."""
    from . import table

    table.print_tasks(tasks, output)


@verb(
    "list",
    "list --tag upgrade --sort due_date",
    "list --due-before +1w --json",
    "list --q 'flask err' --all",
)
@selection_options
@sort_option(SORTS)
@limit_option
@output_options
def list_verb(selection: Selection, sort: str | None, limit: int, output: Output) -> None:
    """List tasks, without the finished ones unless --status or --all says so.

    In a pipe a line has id, status, priority, due date, repository, issue, stars, last push, tags
    and title, with tabs between them.
    """
    client = services.find()
    if selection.ids:
        tasks: Any = selection.read(client)
        output.rows(tasks, plain_task, print_tasks)
        return
    query = selection.filters(UNFINISHED) | ({"sort": sort} if sort else {})
    pages = Pages(client, "/tasks", query, limit)
    pages.report(output.rows(pages, plain_task, print_tasks), "task")


class Pages:
    """The objects of a list, and how many there are beyond `limit`."""

    def __init__(self, client: Client, path: str, query: dict[str, Any], limit: int) -> None:
        self._client, self._path, self._query = client, path, query
        self._limit = limit or None
        self._total: int | None = None

    def __iter__(self) -> Iterator[Row]:
        # Only people are told the total, which costs the service a count.
        counted = {"total": "true"} if self._path == "/tasks" and sys.stderr.isatty() else {}
        query = self._query | (counted if self._limit else {})
        for page in self._client.pages(self._path, query, self._limit):
            if total := page.headers.get("x-total-count"):
                self._total = int(total) if total.isdecimal() else None
            yield from page.objects()

    def report(self, printed: int, noun: str) -> None:
        """Print that nothing was found, or that there is more."""
        if not printed:
            say(f"No {count(0, noun)[2:]}.")
        elif self._total and self._total > printed:
            say(f"{printed:,} of {count(self._total, noun)}; --limit 0 lists all")


@verb("show", "show 1", "show 1 2 --jsonl", "show --repository pallets/flask")
@selection_options
@output_options
def show_verb(selection: Selection, output: Output) -> None:
    """Show all that is known about tasks. With one id, --json prints one object."""
    if selection.empty:
        raise click.UsageError("which tasks? Take ids or filters")
    tasks = selection.read(services.find())
    if output.format == "json" and len(selection.ids) == 1:
        output = Output("jsonl")

    def table(found: list[Row], output: Output) -> None:
        from .table import print_task

        for number, task in enumerate(found):
            if number:
                click.echo()
            print_task(task, output)

    if not output.rows(tasks, plain_task, table):
        say("No tasks.")


@verb("open", "open 1", "open 1 --print", "open --tag reading --print")
@selection_options
@click.option("--print", "printed", is_flag=True, help="Print the addresses instead.")
def open_verb(selection: Selection, printed: bool) -> None:
    """Open the tasks' issues or repositories in the browser."""
    if selection.empty:
        raise click.UsageError("which tasks? Take ids or filters")
    tasks = selection.read(services.find())
    pages = {task["id"]: task["issue_url"] or task["repository_url"] for task in tasks}
    for number, page in pages.items():
        if page is None:
            say(f"#{number} has no page yet; its metadata were never fetched")
    found = list(dict.fromkeys(page for page in pages.values() if page))
    if printed:
        for page in found:
            click.echo(visible(page))
        return
    if len(found) > OPENED_MAX:
        raise Failure(f"{len(found)} pages are too many to open; --print prints their addresses")
    import webbrowser

    for page in found:
        if not page.startswith(("https://", "http://")) or not page.isprintable():
            raise Failure(f"{page} is no address for a browser")
        if not webbrowser.open(page):
            raise Failure(f"no browser can be started; open {page}")


@verb("changes", "changes", "changes --since 7d", "changes --kind archived --jsonl")
@filter_options("since", "repository", "kind")
@limit_option
@output_options
def changes_verb(limit: int, output: Output) -> None:
    """List what GitHub changed in the repositories: renamed, archived, gone and so on."""
    query = click.get_current_context().meta.get("query", {})
    pages = Pages(services.find(), "/changes", query, limit)
    names = ("seen_at", "repository", "kind", "before", "after")

    def table(found: list[Row], output: Output) -> None:
        from .table import print_changes

        print_changes(found, output)

    number = output.rows(pages, lambda change: [change[name] for name in names], table)
    pages.report(number, "change")


@verb("repos", "repos --sort -stars", "repos --archived true", "repos --jsonl --limit 0")
@filter_options("archived", "language", "metadata_status", "pushed_before", "fetched_before")
@sort_option(REPOSITORY_SORTS)
@limit_option
@output_options
def repos_verb(sort: str | None, limit: int, output: Output) -> None:
    """List the repositories that have tasks, with their tasks by status."""
    query = click.get_current_context().meta.get("query", {})
    query = query | ({"sort": sort} if sort else {})
    pages = Pages(services.find(), "/repositories", query, limit)

    def plain(repository: Row) -> list[Any]:
        tasks = [repository["tasks"][status] for status in ("open", "in_progress", "done")]
        names = ("name", "stars", "language", "pushed_at", "metadata_status")
        return [*(repository[name] for name in names), *tasks]

    def table(found: list[Row], output: Output) -> None:
        from .table import print_repositories

        print_repositories(found, output)

    pages.report(output.rows(pages, plain, table, ids="name"), "repository")
