"""Batches of concurrent reads.

The pattern is DataLoader's, https://github.com/graphql/dataloader#batching
"""

import time
from collections.abc import Callable, Hashable, Mapping
from threading import Lock
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Batch(Generic[K, V]):
    """Keys that are read together; `reading` is locked until they have been read."""

    def __init__(self) -> None:
        self.keys: list[K] = []
        self.found: Mapping[K, V] = {}
        self.error: BaseException | None = None
        self.reading = Lock()
        self.reading.acquire()


class BatchLoader(Generic[K, V]):
    """Reads values by key, for all requests that arrive in one turn of the event loop.

    A batch is closed before it is read, so a request never gets an older state than its own
    statement would have seen.

    Args:
        read: returns the values of different keys; one without a value may be missing.
        max_batch_size: number of different keys in a batch. With 1, only requests with the same
            key share a read.
    """

    def __init__(
        self, read: Callable[[list[K]], Mapping[K, V]], max_batch_size: int | None = None
    ) -> None:
        self._read = read
        self._max_batch_size = max_batch_size
        self._lock = Lock()
        self._open: dict[K, Batch[K, V]] = {}  # by each of their keys
        self._newest: Batch[K, V] | None = None  # of the open ones

    def load(self, key: K) -> V | None:
        """Return the value of the key, or None.

        Raises:
            Exception: the error of `read`; each request of the batch gets it.
        """
        batch, leads = self._join(key)
        try:
            if leads:
                self._run(batch)
            else:
                with batch.reading:
                    pass
            if batch.error and not leads and not isinstance(batch.error, Exception):
                return self.load(key)  # what has ended the leader was not meant for this request
            if batch.error:
                raise batch.error
            return batch.found.get(key)
        finally:
            del batch  # an error's traceback would refer to it, and it to the error

    def _join(self, key: K) -> tuple[Batch[K, V], bool]:
        """Return the batch of the key, and whether it is a new one."""
        with self._lock:
            if batch := self._open.get(key):
                return batch, False
            batch = self._newest
            leads = batch is None or len(batch.keys) == self._max_batch_size
            if batch is None or leads:
                batch = self._newest = Batch()
            batch.keys.append(key)
            self._open[key] = batch
            return batch, leads

    def _run(self, batch: Batch[K, V]) -> None:
        try:
            try:
                time.sleep(0)  # under gevent, requests that have arrived join the batch meanwhile
            finally:
                self._close(batch)
            batch.found = self._read(batch.keys)
        except BaseException as error:
            batch.error = error
        finally:
            batch.reading.release()
            del batch  # the error's traceback refers to this frame

    def _close(self, batch: Batch[K, V]) -> None:
        with self._lock:
            for key in batch.keys:
                del self._open[key]
            if self._newest is batch:
                self._newest = None
