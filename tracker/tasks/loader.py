"""Reads of single tasks: concurrent requests share one statement."""

from ..database import queries
from ..database.connection import connection, retry_on_disconnect
from ..database.models import Task
from ..database.queries import TaskJSON
from ..errors import TaskNotFound
from .batching import BatchLoader


@retry_on_disconnect
def _read_tasks(task_ids: list[int]) -> dict[int, TaskJSON]:
    with connection():
        return queries.read_tasks(task_ids)


loader = BatchLoader(_read_tasks)


def read_task(task_id: int) -> TaskJSON:
    """Return the task with this id.

    Raises:
        TaskNotFound: it does not exist.
        DatabaseUnavailable: PostgreSQL can't read it now.
    """
    task = loader.load(task_id)
    if task is None:
        raise TaskNotFound(task_id)
    return task


@retry_on_disconnect
def find_task(task_id: int) -> Task:
    """Return the task with its version and its repository's identity.

    Raises:
        TaskNotFound: it does not exist.
    """
    with connection():
        task = queries.find_task(task_id)
    if task is None:
        raise TaskNotFound(task_id)
    return task
