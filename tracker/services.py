"""The use-cases: ask GitHub with no connection held, then one atomic block."""

from typing import Any

from peewee import SQL

from . import migrations
from .database import borrowed, database
from .errors import TaskNotFound
from .github import GitHubClient
from .models import MetadataStatus, Task
from .repositories import Repository


def create_task(fields: dict[str, Any], github: GitHubClient) -> Task:
    """Store a new task with its repository's metadata.

    Raises:
        GitHubError: GitHub did not give the metadata; nothing is stored.
        DatabaseUnavailable: nothing is stored.
    """
    repository = github.repository(fields["repository"])
    with borrowed(), database.atomic():
        _follow_rename(repository)
        return Task.insert_returning(fields | _metadata(repository))


def get_task(task_id: int) -> Task:
    """Give the task with this id.

    Raises:
        TaskNotFound: there is none.
    """
    with borrowed():
        task = Task.get_or_none(Task.id == task_id)
    if task is None:
        raise TaskNotFound(task_id)
    return task


def replace_task(task_id: int, fields: dict[str, Any], github: GitHubClient) -> Task:
    """Replace all that the user wrote in the task; GitHub is asked for a new repository alone.

    Raises:
        TaskNotFound: there is none.
        GitHubError: GitHub did not give the metadata; nothing is changed.
        DatabaseUnavailable: nothing is changed.
    """
    while True:
        task = get_task(task_id)
        values, repository = dict(fields), None
        if values["repository"].lower() == task.repository.lower():
            values["repository"] = task.repository
        else:
            repository = github.repository(values["repository"])
            values |= _metadata(repository)
        if all(getattr(task, name) == value for name, value in values.items()):
            return task
        with borrowed(), database.atomic():
            if repository:
                _follow_rename(repository, besides=task_id)
            if replaced := task.update_if_unchanged(values):
                return replaced
        # Someone else changed it since it was read: look again at what there is now.


def delete_task(task_id: int) -> None:
    """Delete the task.

    Raises:
        TaskNotFound: there is none.
    """
    with borrowed(), database.atomic():
        deleted = Task.delete().where(Task.id == task_id).execute()
    if not deleted:
        raise TaskNotFound(task_id)


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


def _follow_rename(repository: Repository, besides: int = 0) -> None:
    """Give the tasks on a repository that GitHub has renamed its new name."""
    (
        Task.update(
            repository=repository.name,
            repository_url=repository.url,
            version=Task.version + 1,
            updated_at=SQL("now()"),
        )
        .where(
            Task.repository_id == repository.id,
            Task.repository != repository.name,
            Task.id != besides,
        )
        .execute()
    )


def check_ready() -> None:
    """Check that the database answers and has the schema that this code needs.

    Raises:
        DatabaseUnavailable: it does not; the message says which.
    """
    with borrowed():
        migrations.check_current()
