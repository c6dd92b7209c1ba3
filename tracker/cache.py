"""Where GitHub's answers are kept; a cache that fails costs calls to GitHub, never a request."""

import logging
import sqlite3
from datetime import datetime
from pathlib import Path
from typing import Any

import requests
from redis import Redis, RedisError
from requests_cache.backends.base import BaseCache
from requests_cache.backends.redis import RedisCache
from requests_cache.backends.sqlite import SQLiteCache
from requests_cache.models.response import CachedResponse

logger = logging.getLogger(__name__)

REDIS_TIMEOUT = 2  # seconds
LOCK_TIMEOUT = 0.5  # seconds to wait while another process writes to the SQLite file
REDIS_NAMESPACE = "github-task-tracker"
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
    return _RedisCache(REDIS_NAMESPACE, connection=redis, ttl=False)


def _open_sqlite(path: Path) -> BaseCache:
    if not path.suffix:  # requests-cache would add it, and make a file that all can read
        path = path.with_name(f"{path.name}.sqlite")
    path.parent.mkdir(parents=True, exist_ok=True)
    # For this account alone, an older file too: the answers may tell of private repositories.
    path.touch(0o600)
    path.chmod(0o600)
    return _SQLiteCache(path, wal=True, timeout=LOCK_TIMEOUT, factory=_Connection)


class _Connection(sqlite3.Connection):
    """A connection whose transaction can fail to begin: requests-cache would try for ever."""

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        try:
            return super().execute(sql, *args)
        except sqlite3.OperationalError as error:
            if sql == "BEGIN IMMEDIATE":  # requests-cache repeats it after an OperationalError
                raise sqlite3.DatabaseError(str(error)) from error
            raise


class _Forgiving(BaseCache):
    """A cache that misses instead of raising, and says so in the log at its first failure."""

    _failed = False

    def get_response(self, key: str, default: Any = None) -> CachedResponse | None:
        try:
            return super().get_response(key, default)
        except FAILURES as error:
            self._complain(error)
            return None

    def save_response(
        self,
        response: requests.Response,
        cache_key: str | None = None,
        expires: datetime | None = None,
    ) -> None:
        try:
            super().save_response(response, cache_key, expires)
        except FAILURES as error:
            self._complain(error)

    def delete(self, *keys: str, **kwargs: Any) -> None:
        try:
            super().delete(*keys, **kwargs)
        except FAILURES as error:
            self._complain(error)

    def _complain(self, error: Exception) -> None:
        if not self._failed:
            self._failed = True
            logger.warning("GITHUB_CACHE fails, going on without it: %s", error)


class _SQLiteCache(_Forgiving, SQLiteCache):
    pass


class _RedisCache(_Forgiving, RedisCache):
    pass
