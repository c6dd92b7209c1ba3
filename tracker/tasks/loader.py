"""Tasks that several requests ask for which have come together, read by one statement for all.

GraphQL knows it as a DataLoader, https://github.com/graphql/dataloader#batching. Here gunicorn's
worker foresees what requests will read; each still makes its own checks before it does.
"""

import re
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from contextvars import ContextVar
from threading import Lock
from typing import Any, TypeVar

from tracker import waiting

T = TypeVar("T")

HEAD_MAX = 2048  # bytes; a request whose head is longer is not foreseen
_READ = re.compile(rb"GET /tasks/([1-9][0-9]{0,17}) ")  # with more digits it may be no bigint


class Batch:
    """Requests that have come, each to read a task; whichever does so first reads all the tasks.

    It is for these requests alone: before a later one came its task may have been changed.
    """

    def __init__(self, task_ids: Iterable[int]) -> None:
        self.task_ids = set(task_ids)
        self._lock = Lock()
        self._begun = False
        self._tasks: Future[dict[int, Any]] = Future()

    def load(self, task_id: int, read: Callable[[list[int]], dict[int, T]]) -> T | None:
        """Give the task, of those that `read` gave to the first that came for one.

        Raises:
            Exception: what `read` raised, to each of the requests.
        """
        with self._lock:
            first, self._begun = not self._begun, True
        if first:
            try:
                self._tasks.set_result(read(list(self.task_ids)))
            except BaseException as error:
                self._tasks.set_exception(error)
        elif not self._tasks.done():
            waiting.step_aside()
        return self._tasks.result().get(task_id)


# The batch of the request that this thread handles.
current: ContextVar[Batch | None] = ContextVar("current", default=None)


def load(task_id: int, read: Callable[[list[int]], dict[int, T]]) -> T | None:
    """Give the task that `read` gives for this id, or gave for the request's batch."""
    batch = current.get()
    current.set(None)  # it is good for one reading: the next may follow a change of the task
    if batch is None or task_id not in batch.task_ids:
        return read([task_id]).get(task_id)
    return batch.load(task_id, read)


def foresee(received: bytes) -> int | None:
    """Give the id of the task that a request will read, if it does that and its head is here.

    Of one that is still on its way nobody knows when it will be handled.
    """
    found = _READ.match(received) if b"\r\n\r\n" in received else None
    return int(found[1]) if found else None
