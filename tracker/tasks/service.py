"""The use-cases: ask GitHub with no connection held, then one transaction."""

from typing import Any

from peewee import fn

from tracker.database import migrations
from tracker.database.connection import borrowed, database, repeatable
from tracker.database.models import MetadataStatus, StoredTask, Task, etag
from tracker.errors import (
    GitHubError,
    PreconditionFailed,
    RepositoryUnavailable,
    TaskNotFound,
)
from tracker.github.client import GitHubClient
from tracker.github.repository import Repository
from tracker.tasks import idempotency
from tracker.tasks import loader as batch
from tracker.tasks import pagination as listing
from tracker.tasks.idempotency import Claim

Versions = list[int] | None  # those of which a task must be at one; None for any
LEASE = 5  # seconds beyond GitHub's time for a creation under a key to end


def create_task(
    fields: dict[str, Any],
    github: GitHubClient,
    *,
    optional: bool = False,
    key: str | None = None,
) -> tuple[StoredTask, bool]:
    """Store a new task with its repository's metadata; tell too whether it was there already.

    With `optional`, a task whose metadata GitHub can't give now is stored as pending. With a
    `key`, the task of an earlier request with the same key and fields is given instead.

    Raises:
        GitHubError: GitHub did not give the metadata; nothing is stored.
        KeyUsed: the key came with other fields before.
        TaskNotFound: the key's task has been deleted.
        DatabaseUnavailable: nothing is stored.
    """
    if key is None:
        return _create(fields, github, optional, None), False
    claim = idempotency.claim(key, fields, github.timeout + LEASE, github.room.place())
    if isinstance(claim, int):
        try:
            return read_task(claim), True
        except TaskNotFound:
            raise TaskNotFound(claim, "; it was created under this key, and deleted") from None
    try:
        return _create(fields, github, optional, claim), False
    except BaseException:
        idempotency.release(claim)
        raise


def _create(
    fields: dict[str, Any], github: GitHubClient, optional: bool, claim: Claim | None
) -> StoredTask:
    repository = None
    try:
        repository = github.repository(fields["repository"])
    except RepositoryUnavailable:
        raise
    except GitHubError:
        if not optional:
            raise
    values = fields | (_metadata(repository) if repository else {})
    with borrowed():
        if not claim and (stored := Task.insert_at_once(values)):
            return stored
        with database.atomic():
            task = Task.insert_returning(values)
            if repository and task.renamed:
                _follow_rename(repository, besides=task.id)
            if claim:
                idempotency.settle(claim, task.id)
            return task


@repeatable
def list_tasks(query: dict[str, Any]) -> listing.Page:
    """Give a page of the tasks that the query's filters let through, in its order."""
    with borrowed():
        return listing.read_page(**query)


def read_task(task_id: int) -> StoredTask:
    """Give the task with this id.

    Raises:
        TaskNotFound: there is none.
    """
    task = batch.load(task_id, _read_stored)
    if task is None:
        raise TaskNotFound(task_id)
    return task


@repeatable
def _read_stored(task_ids: list[int]) -> dict[int, StoredTask]:
    with borrowed():
        return Task.find_stored(task_ids)


def edit_task(
    task_id: int, fields: dict[str, Any], github: GitHubClient, versions: Versions = None
) -> StoredTask:
    """Change these fields of the task; GitHub is asked for a new repository alone.

    Fields that have their new values already change nothing, not even the version.

    Raises:
        TaskNotFound: there is none.
        PreconditionFailed: it is at none of these versions.
        GitHubError: GitHub did not give the metadata; nothing is changed.
        DatabaseUnavailable: nothing is changed.
    """
    while True:
        values, repository, present = dict(fields), None, versions
        if name := values.pop("repository", None):
            task = _find(task_id)
            _check(task.version, versions)
            present = [task.version]  # for what comes of its repository, as it was read
            if name.lower() != task.repository.lower():
                repository = github.repository(name)
                values |= _metadata(repository)
        with borrowed(), database.atomic():
            if repository:
                _follow_rename(repository, besides=task_id)
            if edited := Task.update_one(task_id, values, present):
                return edited
        _check(read_task(task_id).version, versions)
        # Someone else changed it since it was read: look again at what there is now.


def delete_task(task_id: int, versions: Versions = None) -> None:
    """Delete the task.

    Raises:
        TaskNotFound: there is none.
        PreconditionFailed: it is at none of these versions.
    """
    while True:
        with borrowed(), database.atomic():
            if Task.delete_one(task_id, versions):
                return
        _check(read_task(task_id).version, versions)


def refresh_task(task_id: int, github: GitHubClient) -> StoredTask:
    """Have GitHub confirm the metadata of the task's repository, for every task on it.

    Raises:
        TaskNotFound: there is none.
        GitHubError: GitHub can't answer now; nothing is changed.
        DatabaseUnavailable: nothing is changed.
    """
    task = _find(task_id)
    try:
        repository = github.refresh(task.repository, task.repository_id)
        values = _metadata(repository)
    except RepositoryUnavailable:
        values = {"metadata_status": MetadataStatus.UNAVAILABLE.value}
    same = fn.lower(Task.repository) == task.repository.lower()
    if task.repository_id is None:
        same &= Task.repository_id.is_null()
    else:
        same = (Task.repository_id == task.repository_id) | (same & Task.repository_id.is_null())
    turn = values.get("repository_id") or task.repository_id or task.repository.lower()
    with borrowed(), database.atomic():
        Task.update_all(same, turn, **values)
    return read_task(task_id)


@repeatable
def check_ready() -> None:
    """Check that the database answers and has the schema that this code needs.

    Raises:
        DatabaseUnavailable: it does not; the message says which.
    """
    with borrowed():
        migrations.check_current()


@repeatable
def _find(task_id: int) -> Task:
    with borrowed():
        task = Task.find(task_id)
    if task is None:
        raise TaskNotFound(task_id)
    return task


def _check(version: int, versions: Versions) -> None:
    if versions is not None and version not in versions:
        raise PreconditionFailed(etag(version))


def _metadata(repository: Repository) -> dict[str, Any]:
    return {
        "repository": repository.name,
        "repository_id": repository.id,
        "repository_url": repository.url,
        "repository_description": repository.description,
        "stars": repository.stars,
        "language": repository.language,
        "archived": repository.archived,
        "pushed_at": repository.pushed_at,
        "metadata_status": MetadataStatus.CURRENT.value,
        "metadata_fetched_at": repository.fetched_at,
    }


def _follow_rename(repository: Repository, besides: int) -> None:
    """Give the tasks on a repository that GitHub has renamed its new name."""
    Task.follow_rename(
        repository.id,
        seen=repository.fetched_at,
        besides=besides,
        repository=repository.name,
        repository_url=repository.url,
    )
