"""The list of repositories, one repository, and its refresh."""

from dataclasses import dataclass
from typing import Any

from ..database import queries
from ..database.connection import connection, retry_on_disconnect
from ..database.models import Status, Task
from ..database.standby import prefer_standby
from ..errors import NoTasksOnRepository
from ..github.client import GitHubClient
from ..github.names import is_full_name
from . import repository_order, repository_rows
from .pagination import CURSOR_ERRORS, NO_CURSOR, decode_cursor, encode_cursor
from .repositories import refresh_metadata
from .repository_filters import REPOSITORY_FILTERS, SORT_COLUMNS
from .repository_order import Position
from .repository_rows import RepositoryRow

WALKS = (1, 10)  # pages of positions to read in the order of the sort, before all are read
NAMES_MAX = 1_000  # names to read at a time


@dataclass(frozen=True)
class RepositoryCursor:
    """The position after a repository; one without an id has a name and the id 0."""

    sort: str
    key: Any
    id: int
    name: str = ""

    @classmethod
    def after(cls, row: RepositoryRow, sort: str) -> "RepositoryCursor":
        """Return the position after a repository."""
        value = row.name if sort.lstrip("-") == "name" else row.fields[sort.lstrip("-")]
        key = None if value is None else SORT_COLUMNS[sort.lstrip("-")].parse(value)
        return cls(sort, key, row.id, "" if row.id else row.name)

    @classmethod
    def parse(cls, text: str, sort: str) -> "RepositoryCursor":
        """Parse a cursor for this sort.

        Raises:
            ValueError: no list of repositories returned it for this sort.
        """
        column, ids = SORT_COLUMNS[sort.lstrip("-")], SORT_COLUMNS["stars"]
        try:
            found, key, repository_id, name = decode_cursor(text)
            if found != sort or (key is None and not column.nullable):
                raise ValueError
            key = None if key is None else column.parse(key)
            return cls(sort, key, ids.parse(repository_id), SORT_COLUMNS["name"].parse(name))
        except CURSOR_ERRORS:
            raise ValueError(NO_CURSOR) from None

    def __str__(self) -> str:
        return encode_cursor(self.sort, self.key, self.id, self.name)


@dataclass(frozen=True)
class RepositoryPage:
    """Repositories in order, each with its tasks by status; the cursor of the next page."""

    repositories: list[dict[str, Any]]
    next: RepositoryCursor | None


@retry_on_disconnect
@prefer_standby
def list_repositories(
    filters: dict[str, Any], sort: str, limit: int, cursor: RepositoryCursor | None
) -> RepositoryPage:
    """Return a page of the repositories that have tasks and that the filters select.

    Raises:
        DatabaseUnavailable: PostgreSQL can't read it now.
    """
    values = {name: REPOSITORY_FILTERS[name].convert(value) for name, value in filters.items()}
    by_name, descending = sort.lstrip("-") == "name", sort.startswith("-")
    with connection():
        rows: list[RepositoryRow] = []
        # Repositories without an id are last, unless the names are the keys.
        if by_name or cursor is None or not cursor.name:
            position = None if cursor is None else Position(cursor.key, cursor.id)
            rows += _read_identified(values, sort, position, limit + 1)
        if by_name or len(rows) <= limit:
            name = cursor.key if cursor and by_name else (cursor.name if cursor else "")
            rows += _read_unidentified(values, name or None, descending, limit + 1)
        if by_name:
            rows.sort(key=lambda row: (row.name, row.id), reverse=descending)
        page = rows[:limit]
        following = RepositoryCursor.after(page[-1], sort) if len(rows) > limit else None
        return RepositoryPage(_with_tasks(page), following)


@retry_on_disconnect
@prefer_standby
def read_repository(name: str) -> dict[str, Any]:
    """Return the repository that has this name, now or formerly, with its tasks by status.

    Raises:
        NoTasksOnRepository: no task is on it.
    """
    with connection():
        found = _with_tasks([_find(name)])
    if not found:
        raise _no_tasks(name)
    return found[0]


def refresh_repository(name: str, github: GitHubClient) -> dict[str, Any]:
    """Fetch the metadata of a repository, and store them in every task on it.

    Raises:
        NoTasksOnRepository: no task is on it.
        GitHubError: GitHub can't respond now; nothing is changed.
        DatabaseUnavailable: nothing is changed.
    """
    row = _find_again(name)
    task = Task(repository=row.fields["name"], repository_id=row.id or None)
    return read_repository(refresh_metadata(task, github))


@retry_on_disconnect
def _find_again(name: str) -> RepositoryRow:
    with connection():
        return _find(name)


def _read_identified(
    filters: dict[str, Any], sort: str, position: Position | None, number: int
) -> list[RepositoryRow]:
    """Return the next repositories with an id.

    A task's facts may be older than those of its repository, and a filter may select few. So
    there are three ways: by the tasks that a rare filter selects; along the sort's index, where
    a position counts if it is that of the newest facts; or, if neither is enough, by one pass
    over all tasks.
    """
    if filters and (ids := repository_order.find_matching(filters)) is not None:
        return repository_order.read_identified(ids, sort, filters, position, None, number)
    found: list[RepositoryRow] = []
    for pages in WALKS:
        positions = repository_order.read_positions(sort, position, pages * number)
        if positions:
            ids = list({each.id for each in positions})
            last = positions[-1]
            found += repository_order.read_identified(ids, sort, filters, position, last, number)
            position = last
        if len(found) >= number or len(positions) < pages * number:
            return found[:number]
    found += repository_order.read_identified(None, sort, filters, position, None, number)
    return found[:number]


def _read_unidentified(
    filters: dict[str, Any], after: str | None, descending: bool, number: int
) -> list[RepositoryRow]:
    """Return the next repositories without an id, by name."""
    found: list[RepositoryRow] = []
    batch = number
    while len(found) < number:
        names = repository_rows.read_names(after, descending, batch, filters)
        rows = repository_rows.read_unidentified(names, filters)
        owned = _owners(names)
        found += [rows[name] for name in names if name in rows and name not in owned]
        if len(names) < batch:
            break
        after, batch = names[-1], NAMES_MAX
    return found[:number]


def _owners(names: list[str]) -> dict[str, RepositoryRow]:
    """Return the repositories with an id that have these names now."""
    wanted = set(names)
    rows = repository_order.read_identified(repository_rows.find_ids(names))
    return {row.name: row for row in sorted(rows, key=_age) if row.name in wanted}


def _age(row: RepositoryRow) -> tuple[str, int]:
    return row.fields["metadata_fetched_at"] or "", row.id


def _find(name: str) -> RepositoryRow:
    """Return the repository that has this name now, or else the one that had it before."""
    key = name.lower()
    if not is_full_name(name):
        raise _no_tasks(name)
    if owner := _owners([key]).get(key):
        return owner
    if row := repository_rows.read_unidentified([key], {}).get(key):
        return row
    if rows := repository_order.read_identified(repository_rows.find_ids([key])):
        return max(rows, key=_age)
    for other in queries.current_names(key):
        if other != key:
            return _find(other)
    raise _no_tasks(name)


def _no_tasks(name: str) -> NoTasksOnRepository:
    return NoTasksOnRepository(f"No task is on the repository {name}.")


def _with_tasks(rows: list[RepositoryRow]) -> list[dict[str, Any]]:
    """Return the fields of the repositories, each with its tasks by status."""
    counts = repository_rows.count_tasks([row.id for row in rows], [row.name for row in rows])
    shared = [row.name for row in rows if row.id and row.name in counts]
    owners = _owners(shared) if shared else {}
    found = []
    for row in rows:
        own = [counts.get(row.id if row.id else row.name, {})]
        if row.name in owners and owners[row.name].id == row.id:
            own.append(counts[row.name])
        number = {status.value: sum(each.get(status.value, 0) for each in own) for status in Status}
        if any(number.values()):  # they may have been deleted a moment ago
            found.append({**row.fields, "tasks": number})
    return found
