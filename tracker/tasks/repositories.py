"""A task's repository: its metadata in the task's columns, renames, and refreshes."""

from datetime import datetime, timezone
from typing import Any

from ..database import changes, queries
from ..database.connection import connection, database, retry_on_conflict
from ..database.models import MetadataStatus, Task, repository_key
from ..database.queries import TaskJSON
from ..errors import RepositoryUnavailable
from ..github.client import GitHubClient
from ..github.repository import Repository
from .changes import store_changes
from .loader import find_task, read_task

FOLLOWED_MAX = 1_000  # repositories that a process remembers

_followed: dict[tuple[int, str], datetime] = {}

# Columns of a repository's metadata whose names differ from those in Repository.
COLUMNS = {
    "id": "repository_id",
    "name": "repository",
    "url": "repository_url",
    "description": "repository_description",
    "fetched_at": "metadata_fetched_at",
}


def to_columns(repository: Repository) -> dict[str, Any]:
    """Return the columns that a repository's metadata fill."""
    values = {
        COLUMNS.get(name, name): [*value] if isinstance(value, tuple) else value
        for name, value in vars(repository).items()
    }
    return {**values, "metadata_status": MetadataStatus.CURRENT.value}


def follow_repository(
    repository: Repository, requested: str, former_id: int | None = None, exclude_id: int = 0
) -> None:
    """Store what a repository's metadata change: its history, and its name in its other tasks.

    For use in the transaction that stores them in one task, before it does. `requested` is the
    name by which the repository was found, `former_id` the id that the task had for it. The
    caller calls `repository_followed` after the commit: the same metadata, from the cache, then
    need no second look, which would be half of a creation's round trips.
    """
    if _followed.get((repository.id, requested)) == repository.fetched_at:
        return
    facts = to_columns(repository)
    ids = _ids(former_id, repository.id)
    ends = changes.end_facts(repository.id)
    names = {end["repository"] for end in ends}
    differ = any(facts[name] != value for end in ends for name, value in end.items())
    if differ or len(ids) > 1:
        queries.lock_repository(*ids)
        store_changes(ids, facts, repository.fetched_at, newer=True)
    if names - {repository.name}:
        renamed = {"repository": repository.name, "repository_url": repository.url}
        queries.follow_rename(repository.id, renamed, repository.fetched_at, exclude_id)
    for name in names | {requested}:
        if name.lower() != repository.name.lower():
            queries.remember_name(repository.id, name)
    changes.store_stars(repository.id, repository.name, repository.stars, repository.fetched_at)


def repository_followed(repository: Repository, requested: str) -> None:
    """Remember in this process that `follow_repository` was committed for this metadata."""
    if len(_followed) >= FOLLOWED_MAX:
        _followed.clear()
    _followed[repository.id, requested] = repository.fetched_at


def refresh_task(task_id: int, github: GitHubClient) -> TaskJSON:
    """Fetch the metadata of a task's repository, and store them in every task on it.

    Raises:
        TaskNotFound: it does not exist.
        GitHubError: GitHub can't respond now; nothing is changed.
        DatabaseUnavailable: nothing is changed.
    """
    refresh_metadata(find_task(task_id), github)
    return read_task(task_id)


def refresh_metadata(task: Task, github: GitHubClient) -> str:
    """Fetch the metadata of a task's repository, and store them in every task on it.

    Returns the repository's name, which may be another than the task's.

    Raises:
        GitHubError: GitHub can't respond now; nothing is changed.
        DatabaseUnavailable: nothing is changed.
    """
    try:
        repository = github.refresh(task.repository, task.repository_id)
        facts = to_columns(repository)
        fetched_at = facts.pop("metadata_fetched_at")
    except RepositoryUnavailable:
        facts = {"metadata_status": MetadataStatus.UNAVAILABLE.value}
        fetched_at = None
    _store_facts(task, facts, fetched_at, seen_at=fetched_at or datetime.now(timezone.utc))
    return str(facts.get("repository", task.repository))


@retry_on_conflict
def _store_facts(
    task: Task, facts: dict[str, Any], fetched_at: datetime | None, seen_at: datetime
) -> None:
    same = repository_key == task.repository.lower()
    if task.repository_id is None:
        same &= Task.repository_id.is_null()
    else:
        same = (Task.repository_id == task.repository_id) | (same & Task.repository_id.is_null())
    ids = _ids(task.repository_id, facts.get("repository_id"))
    lock_keys: list[Any] = [*ids] or [task.repository.lower()]
    with connection(), database.atomic():
        queries.lock_repository(*lock_keys)
        store_changes(ids, facts, seen_at, newer=False)
        if fetched_at:  # before the tasks, as in an edit: in another order it could be a deadlock
            changes.store_stars(ids[-1], facts["repository"], facts["stars"], fetched_at)
        queries.update_repository(same, facts, fetched_at)
        if facts.get("repository", task.repository).lower() != task.repository.lower():
            queries.remember_name(facts["repository_id"], task.repository)


def _ids(*ids: int | None) -> list[int]:
    """Return the ids that are known, each once, in this order."""
    return list(dict.fromkeys(number for number in ids if number is not None))
