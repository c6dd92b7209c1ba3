"""What GitHub's answers changed: the history of repositories, and their stars a day."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from peewee import SQL, Tuple

from ..database import changes, queries
from ..database.changes import Change, ChangeKind
from ..database.connection import connection, retry_on_disconnect
from ..database.models import MetadataStatus
from ..database.standby import prefer_standby
from ..errors import NoTasksOnRepository
from ..github.names import is_full_name
from .pagination import Cursor, Page
from .sorting import SORT_COLUMNS

SORT = "-seen_at"
COLUMNS = {"seen_at": replace(SORT_COLUMNS["created_at"], key=Change.seen_at)}

# The column of a task that a change of this kind is about.
COLUMN_OF = {
    ChangeKind.RENAMED.value: "repository",
    ChangeKind.ARCHIVED.value: "archived",
    ChangeKind.UNARCHIVED.value: "archived",
    ChangeKind.UNAVAILABLE.value: "metadata_status",
    ChangeKind.AVAILABLE.value: "metadata_status",
    ChangeKind.LICENSE.value: "license",
    ChangeKind.VISIBILITY.value: "visibility",
}


def store_changes(
    repository_ids: Sequence[int], facts: dict[str, Any], seen_at: datetime, *, newer: bool
) -> None:
    """Store how facts of GitHub differ from the newest ones that a repository's tasks have.

    For use in the transaction that stores the facts, before it does, under the repository's lock.
    Facts that were learned later than those of the tasks, and no task has any more, count too.
    With `newer`, a fact that is older than the known one is no change. The first facts about a
    repository are none either.
    """
    newest = changes.newest_facts(repository_ids) if repository_ids else None
    if newest is None or newest.metadata_fetched_at is None:
        return
    fetched_at = newest.metadata_fetched_at
    known = {name: (getattr(newest, name), fetched_at) for name in COLUMN_OF.values()}
    for change in changes.changes_since(repository_ids, fetched_at):
        known[COLUMN_OF[change.kind]] = (change.after, change.seen_at)
    found = [
        {"kind": kind.value, "before": before, "after": facts[name], "previously_seen_at": time}
        for name, (before, time) in known.items()
        if name in facts and (kind := difference(name, before, facts[name]))
        if time < seen_at or not newer
    ]
    if found:
        name = facts.get("repository", newest.repository)
        owned = {"repository_id": repository_ids[-1], "repository": name, "seen_at": seen_at}
        changes.insert_changes([owned | change for change in found])


def difference(name: str, before: Any, after: Any) -> ChangeKind | None:
    """Return the kind of change from one value of a task's column to another, or None."""
    if before == after:
        return None
    if name == "repository":
        return ChangeKind.RENAMED
    if name == "archived":
        return ChangeKind.ARCHIVED if after else ChangeKind.UNARCHIVED
    if name == "license":
        return ChangeKind.LICENSE
    if name == "visibility":  # null means that the server does not tell
        return ChangeKind.VISIBILITY if before and after else None
    if after == MetadataStatus.UNAVAILABLE.value:
        return ChangeKind.UNAVAILABLE
    return ChangeKind.AVAILABLE if before == MetadataStatus.UNAVAILABLE.value else None


@retry_on_disconnect
@prefer_standby
def list_changes(
    limit: int,
    cursor: Cursor | None = None,
    since: datetime | None = None,
    repository: str | None = None,
    kinds: Sequence[str] = (),
) -> Page:
    """Return a page of the changes, newest first, each as JSON.

    Raises:
        DatabaseUnavailable: PostgreSQL can't read it now.
    """
    found = Change.select(queries.row_json(Change.public_fields()))
    if since:
        found = found.where(Change.seen_at >= since)
    if kinds:
        found = found.where(Change.kind.in_(kinds))
    if cursor:
        found = found.where(Tuple(Change.seen_at, Change.id) < Tuple(cursor.value, cursor.id))
    found = found.order_by(Change.seen_at.desc(), Change.id.desc()).limit(limit + 1)
    with connection():
        if repository:
            ids = changes.repository_ids(repository) or []
            found = found.where(Change.repository_id.in_(ids) if ids else SQL("false"))
        rows = [row[0] for row in found.tuples().execute()]
    more = len(rows) > limit
    return Page(rows[:limit], Cursor.after(rows[limit - 1], SORT, COLUMNS) if more else None, None)


@retry_on_disconnect
@prefer_standby
def count_since(time: datetime | None, most: int) -> int:
    """Return how many changes were seen after a time, up to a number.

    Raises:
        DatabaseUnavailable: PostgreSQL can't read it now.
    """
    found = Change.select(Change.id).order_by(Change.seen_at.desc(), Change.id.desc()).limit(most)
    if time:
        found = found.where(Change.seen_at > time)
    with connection():
        return len(found.tuples().execute())


@retry_on_disconnect
@prefer_standby
def read_stars(name: str) -> list[dict[str, Any]]:
    """Return a repository's number of stars on each day on which GitHub was asked, oldest first.

    Raises:
        NoTasksOnRepository: no task is on the repository, or was.
        DatabaseUnavailable: PostgreSQL can't read them now.
    """
    with connection():
        ids = changes.repository_ids(name) if is_full_name(name) else None
        if ids is None:
            raise NoTasksOnRepository(f"No task is on the repository {name}.")
        return [{"date": date, "stars": stars} for date, stars in changes.read_stars(ids)]
