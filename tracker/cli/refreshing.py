"""The verb `refresh`: asks GitHub for the metadata of many repositories, within its limit."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from typing import Any
from urllib.parse import quote

import click

from ..tasks.phrases import ago, count, describe_change, local, parse_time, span, visible
from . import services
from .client import Client
from .failures import Exit, Failure, Refused, retry_after
from .filters import Id, filter_options
from .output import say
from .progress import Progress
from .verbs import program, verb

PAUSE = 0.25  # seconds between two calls
CALL = 0.3  # seconds that GitHub takes for one, for the estimate
OLD = "1d"  # metadata are old after this time
RESERVE = 10  # a tenth of GitHub's limit is left for people
LONG = 600  # seconds; what takes longer is asked for


class Budget:
    """The calls that GitHub's limit still allows."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.read(ask=True)

    def read(self, ask: bool = False) -> None:
        """Read the limit, as GitHub told it last."""
        response = self._client.send("GET", "/rate-limit", {"ask": "true"} if ask else None)
        # It is null before GitHub has told any limit.
        told = {} if response.json() is None else response.object()
        self.limit: int = told.get("limit") or 0
        self.remaining: int | None = told.get("remaining")
        self.resets_at = told.get("resets_at")

    @property
    def left(self) -> float:
        """The number of calls that a refresh may use; infinite where GitHub tells no limit."""
        if self.remaining is None:
            return float("inf")
        return max(0.0, self.remaining - self.limit // RESERVE)

    def seconds(self, calls: int) -> float:
        """Return how long so many calls take, with the waits for the next hours."""
        hours = max(0, calls - self.left) / max(1, self.limit * (1 - 1 / RESERVE))
        return calls * (PAUSE + CALL) + -(-hours // 1) * 3_600

    def until_reset(self) -> float:
        """Return the seconds until GitHub allows more."""
        if not self.resets_at:
            return 60.0
        left = parse_time(self.resets_at) - datetime.now(timezone.utc)
        return max(1.0, left.total_seconds() + 1)


@verb(
    "refresh",
    "refresh --pending",
    "refresh --older-than 7d --tag upgrade",
    "refresh 1 2",
)
@click.argument("ids", nargs=-1, type=Id())
@filter_options()
@click.option("--older-than", metavar="TIME", help=f"Metadata older than this; {OLD} by default.")
@click.option("--pending", is_flag=True, help="Only repositories that were never fetched.")
@click.option("--all", "every", is_flag=True, help="However new the metadata are.")
@click.option("--wait", is_flag=True, help="At GitHub's limit, wait until it allows more.")
@click.option("-y", "--yes", is_flag=True, help="Ask nothing where it takes long.")
@click.option("-q", "--quiet", is_flag=True, help="Report failures and changes alone.")
def refresh_verb(
    ids: tuple[int, ...],
    older_than: str | None,
    pending: bool,
    every: bool,
    wait: bool,
    yes: bool,
    quiet: bool,
) -> int:
    """Ask GitHub anew for the metadata of repositories, the oldest first.

    One repository is asked for at a time, and a tenth of GitHub's limit is left for people. At the
    limit it stops with exit code 5; the next run goes on where this one ended.
    """
    if older_than and (pending or every):
        raise click.UsageError("take one of --older-than, --pending and --all")
    try:
        age = ago(older_than or OLD)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    query = click.get_current_context().meta.get("query", {})
    if ids and query:
        raise click.UsageError("take ids or filters, not both")
    client = services.find()
    before = None if every or ids else datetime.now(timezone.utc) - age
    names = find(client, ids, query, before, pending)
    if not names:
        if not quiet:
            say("No repository needs a refresh.")
        return Exit.DONE
    budget, started = Budget(client), datetime.now(timezone.utc)
    announce(names, budget, yes, quiet)
    run = Run(client, budget, wait, quiet)
    with Progress("Refreshing", len(names), quiet) as progress:
        try:
            for number, name in enumerate(names):
                if not run.may_go_on(number):
                    break
                run.refresh(name)
                progress.advance()
        except (Failure, KeyboardInterrupt):
            say(f"{run.counts(len(names))}; the next refresh goes on with the oldest.")
            raise
    tell_changes(client, started)
    return run.end(len(names))


def find(
    client: Client,
    ids: tuple[int, ...],
    query: dict[str, Any],
    before: datetime | None,
    pending: bool,
) -> list[str]:
    """Return the names of the repositories, those that were never fetched first."""
    tasks: Iterable[dict[str, Any]]
    if ids:
        tasks = [client.task(number) for number in ids]
    elif query:
        tasks = client.every("/tasks", query)
    else:
        tasks = every_repository(client, before, pending)
    found: dict[str, tuple[bool, str, str]] = {}
    for task in tasks:
        fetched = task["metadata_fetched_at"] or ""
        if fetched and (pending or (before and parse_time(fetched) >= before)):
            continue
        # A repository that is gone stays old: it comes last, or each run would start with it.
        name = task.get("repository") or task["name"]  # of a task, or of a repository itself
        key = (task["metadata_status"] == "unavailable", fetched, name)
        found[name.lower()] = min(found.get(name.lower(), key), key)
    return [name for *_, name in sorted(found.values())]


def every_repository(
    client: Client, before: datetime | None, pending: bool
) -> Iterable[dict[str, Any]]:
    """Return the repositories that may need a refresh."""
    path, sort = "/repositories", {"sort": "metadata_fetched_at"}
    yield from client.every(path, {"metadata_status": "pending"})
    if not pending:
        limit = {"fetched_before": before.isoformat()} if before else {}
        yield from client.every(path, sort | limit)


def announce(names: list[str], budget: Budget, yes: bool, quiet: bool) -> None:
    """Say how much there is to do and how long it takes; ask where that is long."""
    seconds = budget.seconds(len(names))
    calls = "GitHub has not told its limit"
    if budget.remaining is not None:
        calls = f"GitHub allows {count(budget.remaining, 'more call')} of {budget.limit:,}"
        calls += f" until {local(budget.resets_at)[-5:]}" if budget.resets_at else ""
    if not quiet:
        todo = count(len(names), "repository")
        say(f"{todo} to refresh. {calls}. This takes about {span(seconds + 1)}.")
    if seconds > LONG and not yes and sys.stdin.isatty():
        if budget.limit and budget.limit < 1_000:
            say("With a GITHUB_TOKEN, GitHub allows 5,000 calls an hour.")
        if not click.confirm("Start?", err=True):
            raise Failure("nothing is refreshed")


class Run:
    """The refresh of one repository after the other."""

    def __init__(self, client: Client, budget: Budget, wait: bool, quiet: bool) -> None:
        self._client, self._budget, self._wait, self._quiet = client, budget, wait, quiet
        self._done = self._failed = 0
        self._stopped = 0.0  # seconds until GitHub allows more

    def may_go_on(self, number: int) -> bool:
        """Return whether the limit allows a call, which is then due."""
        while not self._stopped and self._budget.left < 1:
            self._at_limit(self._budget.until_reset())
        if number and not self._stopped:
            time.sleep(PAUSE)
        return not self._stopped

    def refresh(self, name: str) -> None:
        """Refresh one repository, and wait at GitHub's limit if that is wanted."""
        while not self._stopped:
            try:
                self._client.send("POST", f"/repositories/{quote(name)}/refresh").read()
            except Refused as error:
                if error.reason == "github_rate_limited":
                    self._at_limit(float(retry_after(error.response) or 60))
                    continue
                if error.exit_code == Exit.TOKEN:
                    raise
                say(f"{visible(name)}: {visible(error.text)}")
                self._failed += 1
            else:
                self._done += 1
            self._budget.read()
            return

    def _at_limit(self, seconds: float) -> None:
        if not self._wait:
            self._stopped = seconds
            return
        when = datetime.now() + timedelta(seconds=seconds)
        say(f"GitHub's limit is reached; going on at {when:%H:%M:%S}.")
        time.sleep(seconds)
        self._budget.read(ask=True)

    def counts(self, number: int) -> str:
        """Return how many of the repositories are refreshed, and how many are left."""
        left = count(number - self._done - self._failed, "repository")
        return f"{self._done:,} refreshed, {left} left"

    def end(self, number: int) -> int:
        """Say how it ended, and return the exit code."""
        if self._stopped:
            when = datetime.now() + timedelta(seconds=self._stopped)
            say(f"{self.counts(number)}: GitHub's limit is reached.")
            say(f"Run `{program()} refresh` again after {when:%H:%M}; it goes on with the oldest.")
            return Exit.LATER
        if not self._quiet:
            failed = f", {self._failed:,} failed" if self._failed else ""
            say(f"{count(self._done, 'repository')} refreshed{failed}.")
        return Exit.REFUSED if self._failed else Exit.DONE


def tell_changes(client: Client, since: datetime) -> None:
    """Print what GitHub's responses have changed."""
    for change in client.every("/changes", {"since": since.isoformat()}):
        click.echo(f"{visible(change['repository'])}\t{visible(describe_change(change))}")
