"""Use cases: call GitHub without a database connection, then run one transaction."""

from contextlib import suppress
from typing import Any

from ..database import migrations, queries
from ..database.connection import (
    connection,
    database,
    retry_on_conflict,
    retry_on_disconnect,
)
from ..database.models import MetadataStatus, Task
from ..database.queries import TaskJSON, Versions
from ..errors import (
    GitHubError,
    PreconditionFailed,
    RepositoryUnavailable,
    TaskNotFound,
)
from ..github.client import GitHubClient
from ..github.repository import Repository
from . import idempotency
from .idempotency import Lease
from .loader import find_task, loader, read_task
from .repositories import follow_repository, repository_followed, to_columns

LEASE_MARGIN = 5  # seconds beyond GITHUB_TIMEOUT in which a creation with a key finishes


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
            raise TaskNotFound(lease, ": it was created with this key, and deleted; use a new key")
        return task, True
    try:
        with idempotency.renewed(lease):
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
    values = fields | (to_columns(repository) if repository else {})
    return _insert(values, repository, fields["repository"], lease)


@retry_on_conflict
def _insert(
    values: dict[str, Any], repository: Repository | None, requested: str, lease: Lease | None
) -> TaskJSON:
    with connection(), database.atomic():
        if repository:
            follow_repository(repository, requested)
        task = queries.insert_task(values)
        if lease:
            idempotency.complete(lease, task.id)
    if repository:
        repository_followed(repository, requested)
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
        values, repository, expected, former_id = dict(fields), None, versions, None
        if name := values.pop("repository", None):
            task = find_task(task_id)
            _check_version(task.version, versions)
            expected = [task.version]  # the metadata are for the repository that it has now
            if name.lower() != task.repository.lower():
                repository = github.repository(name)
            elif task.metadata_status != MetadataStatus.CURRENT.value:
                former_id = task.repository_id
                with suppress(GitHubError):  # it keeps the metadata that it has
                    repository = github.repository(name)
            if repository and _is_older(repository, task):
                repository = None  # a cached response; the task has what GitHub said later
            if repository:
                if not _is_same(repository, task, name):
                    values.setdefault("issue", None)  # a number of the other repository
                values |= to_columns(repository)
        if edited := _update(task_id, values, expected, repository, name or "", former_id):
            return edited
        _check_version(read_task(task_id).version, versions)
        # Another request changed the task after it was read: start again.


@retry_on_conflict
def _update(
    task_id: int,
    values: dict[str, Any],
    versions: Versions,
    repository: Repository | None,
    requested: str,
    former_id: int | None,
) -> TaskJSON | None:
    with connection(), database.atomic() as transaction:
        if repository:
            follow_repository(repository, requested, former_id, exclude_id=task_id)
        edited = queries.update_task(task_id, values, versions)
        if edited is None:
            transaction.rollback()
        return edited


def delete_task(task_id: int, versions: Versions = None) -> None:
    """Delete a task.

    Raises:
        TaskNotFound: it does not exist.
        PreconditionFailed: it is at none of these versions.
    """
    while True:
        if _delete(task_id, versions):
            return
        _check_version(read_task(task_id).version, versions)


@retry_on_conflict
def _delete(task_id: int, versions: Versions) -> bool:
    with connection(), database.atomic():
        return queries.delete_task(task_id, versions)


@retry_on_disconnect
def check_ready() -> None:
    """Check that the database responds and has the schema that this code needs.

    Raises:
        DatabaseUnavailable: it does not; the message says which.
    """
    with connection():
        migrations.check_current()


def _is_older(repository: Repository, task: Task) -> bool:
    """Return whether the task has newer metadata of the same repository."""
    return (
        repository.id == task.repository_id
        and task.metadata_status == MetadataStatus.CURRENT.value
        and repository.fetched_at < task.metadata_fetched_at
    )


def _is_same(repository: Repository, task: Task, name: str) -> bool:
    """Return whether a repository found by the name is the task's own.

    A task whose metadata were never fetched knows no more than its repository's name.
    """
    if task.repository_id is None:
        return task.repository.lower() in {name.lower(), repository.name.lower()}
    return repository.id == task.repository_id


def _check_version(version: int, versions: Versions) -> None:
    if versions is not None and version not in versions:
        raise PreconditionFailed(f'"{version}"')
