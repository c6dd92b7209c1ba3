"""Use cases: call GitHub first, without a database connection, then run one transaction."""

from contextlib import suppress
from threading import BoundedSemaphore
from typing import Any

from peewee import fn

from ..database import migrations, queries
from ..database.connection import connection, database, retry_on_disconnect
from ..database.models import MetadataStatus, Task
from ..database.queries import TaskJSON, Versions
from ..errors import (
    DatabaseUnavailable,
    GitHubError,
    PreconditionFailed,
    RepositoryUnavailable,
    TaskNotFound,
)
from ..github.client import GitHubClient
from ..github.repository import Repository
from . import idempotency, pagination
from .idempotency import Lease
from .loader import loader

# Columns of a repository's metadata whose names differ from those in Repository.
COLUMNS = {
    "id": "repository_id",
    "name": "repository",
    "url": "repository_url",
    "description": "repository_description",
    "fetched_at": "metadata_fetched_at",
}
SEARCHES_MAX = 4  # at a time in a process: a search may take long, and others need connections
SEARCH_WAIT = 3.0  # seconds
LEASE_MARGIN = 5  # seconds beyond GITHUB_TIMEOUT in which a creation with a key finishes

_searches = BoundedSemaphore(SEARCHES_MAX)


def create_task(
    fields: dict[str, Any],
    github: GitHubClient,
    *,
    metadata_optional: bool = False,
    key: str | None = None,
) -> tuple[TaskJSON, bool]:
    """Store a new task; return it and whether it was replayed.

    With `metadata_optional`, the task is stored as pending where GitHub can't return the
    metadata. With a `key`, a repeated request gets the task of the first one.

    Raises:
        GitHubError: GitHub did not return the metadata; nothing is stored.
        IdempotencyKeyReused: an earlier request used the key with other fields.
        IdempotencyKeyInProgress: an earlier request with the key has not finished.
        TaskNotFound: the key's task has been deleted.
        DatabaseUnavailable: nothing is stored.
    """
    if key is None:
        return _create(fields, github, metadata_optional, None), False
    lease = idempotency.acquire(key, fields, github.timeout + LEASE_MARGIN)
    if isinstance(lease, int):
        task = loader.load(lease)
        if task is None:
            raise TaskNotFound(lease, ": it was created with this key, and deleted")
        return task, True
    try:
        return _create(fields, github, metadata_optional, lease), False
    except BaseException:
        idempotency.release(lease)
        raise


def _create(
    fields: dict[str, Any], github: GitHubClient, metadata_optional: bool, lease: Lease | None
) -> TaskJSON:
    repository = None
    try:
        repository = github.repository(fields["repository"])
    except RepositoryUnavailable:
        raise
    except GitHubError:
        if not metadata_optional:
            raise
    values = fields | (_metadata(repository) if repository else {})
    with connection(), database.atomic():
        task = queries.insert_task(values)
        if repository:
            _follow_rename(repository, fields["repository"], exclude_id=task.id)
        if lease:
            idempotency.complete(lease, task.id)
    return task


def list_tasks(query: dict[str, Any]) -> pagination.Page:
    """Return a page of the tasks that the query's filters select, in its order.

    Raises:
        DatabaseUnavailable: PostgreSQL can't read it now, or SEARCHES_MAX others are searching.
    """
    if "q" not in query["filters"]:
        return _read_page(query)
    if not _searches.acquire(timeout=SEARCH_WAIT):
        raise DatabaseUnavailable("Too many searches at a time; try again.", retry_after=1)
    try:
        return _read_page(query)
    finally:
        _searches.release()


@retry_on_disconnect
def _read_page(query: dict[str, Any]) -> pagination.Page:
    with connection():
        return pagination.read_page(**query)


def read_task(task_id: int) -> TaskJSON:
    """Return the task with this id.

    Raises:
        TaskNotFound: it does not exist.
    """
    task = loader.load(task_id)
    if task is None:
        raise TaskNotFound(task_id)
    return task


def edit_task(
    task_id: int, fields: dict[str, Any], github: GitHubClient, versions: Versions = None
) -> TaskJSON:
    """Change these fields of a task.

    GitHub is called only if they name another repository, or the same one while its metadata
    are not current. Values that the task has already change nothing, not even the version.

    Raises:
        TaskNotFound: it does not exist.
        PreconditionFailed: it is at none of these versions.
        GitHubError: GitHub did not return the metadata; nothing is changed.
        DatabaseUnavailable: nothing is changed.
    """
    while True:
        values, repository, expected = dict(fields), None, versions
        if name := values.pop("repository", None):
            task = _find_task(task_id)
            _check_version(task.version, versions)
            expected = [task.version]  # the metadata are for the repository that it has now
            if name.lower() != task.repository.lower():
                repository = github.repository(name)
            elif task.metadata_status != MetadataStatus.CURRENT.value:
                with suppress(GitHubError):  # it keeps the metadata that it has
                    repository = github.repository(name)
            if repository:
                if repository.id != task.repository_id:
                    values.setdefault("issue", None)  # a number of the other repository
                values |= _metadata(repository)
        with connection(), database.atomic():
            if repository:
                _follow_rename(repository, name, exclude_id=task_id)
            if edited := queries.update_task(task_id, values, expected):
                return edited
        _check_version(read_task(task_id).version, versions)
        # Another request changed the task after it was read: start again.


def delete_task(task_id: int, versions: Versions = None) -> None:
    """Delete a task.

    Raises:
        TaskNotFound: it does not exist.
        PreconditionFailed: it is at none of these versions.
    """
    while True:
        with connection(), database.atomic():
            if queries.delete_task(task_id, versions):
                return
        _check_version(read_task(task_id).version, versions)


def refresh_task(task_id: int, github: GitHubClient) -> TaskJSON:
    """Fetch the metadata of a task's repository, and store them in every task on it.

    Raises:
        TaskNotFound: it does not exist.
        GitHubError: GitHub can't respond now; nothing is changed.
        DatabaseUnavailable: nothing is changed.
    """
    task = _find_task(task_id)
    fetched_at = None
    try:
        repository = github.refresh(task.repository, task.repository_id)
        facts = _metadata(repository)
        fetched_at = facts.pop("metadata_fetched_at")
    except RepositoryUnavailable:
        facts = {"metadata_status": MetadataStatus.UNAVAILABLE.value}
    same = fn.lower(Task.repository) == task.repository.lower()
    if task.repository_id is None:
        same &= Task.repository_id.is_null()
    else:
        same = (Task.repository_id == task.repository_id) | (same & Task.repository_id.is_null())
    lock_key = facts.get("repository_id") or task.repository_id or task.repository.lower()
    with connection(), database.atomic():
        queries.update_repository(same, lock_key, facts, fetched_at)
        if facts.get("repository", task.repository).lower() != task.repository.lower():
            queries.remember_name(facts["repository_id"], task.repository)
    return read_task(task_id)


@retry_on_disconnect
def check_ready() -> None:
    """Check that the database responds and has the schema that this code needs.

    Raises:
        DatabaseUnavailable: it does not; the message says which.
    """
    with connection():
        migrations.check_current()


@retry_on_disconnect
def _find_task(task_id: int) -> Task:
    with connection():
        task = queries.find_task(task_id)
    if task is None:
        raise TaskNotFound(task_id)
    return task


def _check_version(version: int, versions: Versions) -> None:
    if versions is not None and version not in versions:
        raise PreconditionFailed(f'"{version}"')


def _metadata(repository: Repository) -> dict[str, Any]:
    """Return the columns that a repository's metadata fill."""
    values = {
        COLUMNS.get(name, name): [*value] if isinstance(value, tuple) else value
        for name, value in vars(repository).items()
    }
    return {**values, "metadata_status": MetadataStatus.CURRENT.value}


def _follow_rename(repository: Repository, requested: str, exclude_id: int) -> None:
    """Store the repository's present name in its other tasks, and remember the former ones."""
    renamed = queries.other_names(repository.id, repository.name)
    if renamed:
        facts = {"repository": repository.name, "repository_url": repository.url}
        queries.follow_rename(repository.id, facts, repository.fetched_at, exclude_id)
    for name in renamed | {requested}:
        if name.lower() != repository.name.lower():
            queries.remember_name(repository.id, name)
