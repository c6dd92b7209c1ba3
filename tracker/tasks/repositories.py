"""A task's repository: its metadata in the task's columns, renames, and refreshes."""

from datetime import datetime
from typing import Any

from ..database import queries
from ..database.connection import connection, database, retry_on_conflict
from ..database.models import MetadataStatus, Task, repository_key
from ..database.queries import TaskJSON
from ..errors import RepositoryUnavailable
from ..github.client import GitHubClient
from ..github.repository import Repository
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


def follow_rename(repository: Repository, requested: str, exclude_id: int) -> None:
    """Store the repository's present name in its other tasks, and remember the former ones.

    For use in a transaction; `requested` is the name by which the repository was found. The
    caller calls `renames_followed` after the commit: the same metadata, from the cache, then need
    no second look, which would be a third of a creation's round trips.
    """
    if _followed.get((repository.id, requested)) == repository.fetched_at:
        return
    renamed = queries.other_names(repository.id, repository.name)
    if renamed:
        facts = {"repository": repository.name, "repository_url": repository.url}
        queries.follow_rename(repository.id, facts, repository.fetched_at, exclude_id)
    for name in renamed | {requested}:
        if name.lower() != repository.name.lower():
            queries.remember_name(repository.id, name)


def renames_followed(repository: Repository, requested: str) -> None:
    """Remember in this process that `follow_rename` was committed for this metadata."""
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
    task = find_task(task_id)
    fetched_at = None
    try:
        repository = github.refresh(task.repository, task.repository_id)
        facts = to_columns(repository)
        fetched_at = facts.pop("metadata_fetched_at")
    except RepositoryUnavailable:
        facts = {"metadata_status": MetadataStatus.UNAVAILABLE.value}
    same = repository_key == task.repository.lower()
    if task.repository_id is None:
        same &= Task.repository_id.is_null()
    else:
        same = (Task.repository_id == task.repository_id) | (same & Task.repository_id.is_null())
    lock_key = facts.get("repository_id") or task.repository_id or task.repository.lower()
    _store_facts(task, same, lock_key, facts, fetched_at)
    return read_task(task_id)


@retry_on_conflict
def _store_facts(
    task: Task,
    same: Any,
    lock_key: object,
    facts: dict[str, Any],
    fetched_at: datetime | None,
) -> None:
    with connection(), database.atomic():
        queries.update_repository(same, lock_key, facts, fetched_at)
        if facts.get("repository", task.repository).lower() != task.repository.lower():
            queries.remember_name(facts["repository_id"], task.repository)
