"""Where GitHub's answers are kept; a cache that fails costs calls to GitHub, never a request."""

import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from threading import RLock
from typing import Any

import requests
from redis import Redis, RedisError
from requests_cache.backends.base import BaseCache
from requests_cache.backends.redis import RedisCache
from requests_cache.backends.sqlite import SQLiteCache
from requests_cache.models.response import CachedResponse
from requests_cache.serializers import Stage, pickle_serializer

logger = logging.getLogger(__name__)

REDIS_TIMEOUT = 0.5  # seconds
LOCK_TIMEOUT = 0.5  # seconds to wait while another process writes to the SQLite file
PAUSE = 5.0  # seconds for which a cache that failed is left alone
REMEMBERED = 100  # answers of which a process remembers what it has read
REDIS_NAMESPACE = "github-task-tracker"
_FAILED = object()
FAILURES = (OSError, sqlite3.Error, RedisError)


def open_cache(place: str) -> BaseCache:
    """Open the cache that GITHUB_CACHE names: `memory`, a file's path, or a `redis://` URL.

    Where it can't be opened, memory stands in for it.
    """
    if place == "memory":
        return BaseCache()
    try:
        if "://" in place:
            return _open_redis(place)
        return _open_sqlite(Path(place))
    except (*FAILURES, ValueError) as error:
        logger.warning("GITHUB_CACHE can't be used, going on with memory: %s", error)
        return BaseCache()


def _open_redis(url: str) -> BaseCache:
    redis = Redis.from_url(url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT)
    # Without Redis's own expiry: old answers are revalidated, or serve while GitHub fails.
    return _RedisCache(REDIS_NAMESPACE, connection=redis, ttl=False, serializer=_serializer())


def _open_sqlite(path: Path) -> BaseCache:
    if not path.suffix:  # requests-cache would add it, and make a file that all can read
        path = path.with_name(f"{path.name}.sqlite")
    path.parent.mkdir(parents=True, exist_ok=True)
    # For this account alone, an older file too: the answers may tell of private repositories.
    path.touch(0o600)
    path.chmod(0o600)
    return _SQLiteCache(
        path, wal=True, timeout=LOCK_TIMEOUT, factory=_Connection, serializer=_serializer()
    )


def _serializer() -> Stage:
    """Make requests-cache's own serializer, but of equal bytes read an answer once."""
    read = lru_cache(REMEMBERED)(pickle_serializer.loads)
    return Stage(dumps=pickle_serializer.dumps, loads=read)


class _Connection(sqlite3.Connection):
    """A connection whose failures are told: requests-cache hides them, or tries for ever."""

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        with self._telling(sql):
            return super().execute(sql, *args)

    def commit(self) -> None:
        with self._telling("COMMIT"):
            super().commit()

    @contextmanager
    def _telling(self, sql: str) -> Iterator[None]:
        try:
            yield
        # A SystemError where another thread's read has cleared the reason before it was looked at.
        except (sqlite3.OperationalError, SystemError) as error:
            if sql.startswith("ALTER TABLE"):  # requests-cache tries whether it is needed
                raise
            with suppress(sqlite3.Error):
                self.rollback()
            # requests-cache handles each OperationalError, and nothing else.
            raise sqlite3.DatabaseError(str(error)) from error


class _Forgiving(BaseCache):
    """A cache whose place memory takes while it fails, which is said in the log once."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._spare = BaseCache()
        self._failing = False
        self._resume = 0.0  # when to try again

    def get_response(self, key: str, default: Any = None) -> CachedResponse | None:
        found: CachedResponse | None = self._attempt(super().get_response, key)
        if found is None or found is _FAILED:
            found = self._spare.get_response(key) if self._failing else None
        return default if found is None else found  # a refusal that is kept counts as false

    def save_response(
        self,
        response: requests.Response,
        cache_key: str | None = None,
        expires: datetime | None = None,
    ) -> None:
        saved = self._attempt(super().save_response, response, cache_key, expires)
        if saved is _FAILED:
            self._spare.save_response(response, cache_key, expires)
        elif self._failing:
            self._failing = False
            self._spare = BaseCache()
            logger.warning("GITHUB_CACHE works again")

    def delete(self, *keys: str, **kwargs: Any) -> None:
        self._attempt(super().delete, *keys, **kwargs)
        self._spare.delete(*keys, **kwargs)

    def _attempt(self, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Give what the operation gives; _FAILED where it fails, and for a while after that."""
        if time.monotonic() < self._resume:
            return _FAILED
        try:
            return operation(*args, **kwargs)
        except FAILURES as error:
            self._resume = time.monotonic() + PAUSE
            if not self._failing:
                self._failing = True
                logger.warning("GITHUB_CACHE fails, going on with memory: %s", error)
            return _FAILED


class _SQLiteCache(_Forgiving, SQLiteCache):
    """Used by one thread at a time: on one connection they take each other's errors for theirs."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._one_at_a_time = RLock()
        super().__init__(*args, **kwargs)

    def _attempt(self, operation: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        with self._one_at_a_time:
            return super()._attempt(operation, *args, **kwargs)


class _RedisCache(_Forgiving, RedisCache):
    pass
