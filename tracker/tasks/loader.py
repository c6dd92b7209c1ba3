"""Reads of single tasks, batched: concurrent requests share one statement.

The pattern is DataLoader's, https://github.com/graphql/dataloader#batching
"""

import time
from concurrent.futures import Future
from threading import Lock

from ..database import queries
from ..database.connection import connection, retry_on_disconnect
from ..database.models import Task
from ..database.queries import TaskJSON
from ..errors import TaskNotFound


class TaskLoader:
    """Reads tasks by id for all requests that arrive in one turn of the event loop.

    A batch is closed before its statement starts, so a request never gets an older state than
    its own statement would have seen.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._batch: dict[int, Future[TaskJSON | None]] = {}

    def load(self, task_id: int) -> TaskJSON | None:
        """Return the task, or None.

        Raises:
            DatabaseUnavailable: PostgreSQL can't be reached; each request of the batch gets it.
        """
        with self._lock:
            leads = not self._batch
            future = self._batch.setdefault(task_id, Future())
        if leads:
            time.sleep(0)  # under gevent, requests that have arrived join the batch meanwhile
            with self._lock:
                batch, self._batch = self._batch, {}
            _read(batch)
        try:
            return future.result()
        finally:
            del future  # an error's traceback would refer to it, and it to the error


@retry_on_disconnect
def _read_tasks(task_ids: list[int]) -> dict[int, TaskJSON]:
    with connection():
        return queries.read_tasks(task_ids)


def _read(batch: dict[int, "Future[TaskJSON | None]"]) -> None:
    try:
        tasks = _read_tasks(list(batch))
    except BaseException as error:
        for future in batch.values():
            future.set_exception(error)
    else:
        for task_id, future in batch.items():
            future.set_result(tasks.get(task_id))


loader = TaskLoader()


def read_task(task_id: int) -> TaskJSON:
    """Return the task with this id.

    Raises:
        TaskNotFound: it does not exist.
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
