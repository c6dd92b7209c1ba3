"""Cache of GitHub's responses. A cache that fails costs calls to GitHub, never a request."""

import json
import logging
import sqlite3
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from functools import partial
from pathlib import Path
from stat import S_ISVTX, S_IWGRP, S_IWOTH
from threading import RLock
from typing import Any

import requests
from redis import Redis, RedisError
from requests.structures import CaseInsensitiveDict
from requests_cache.backends.base import BaseCache, BaseStorage
from requests_cache.backends.redis import RedisCache
from requests_cache.models.response import CachedResponse
from requests_cache.serializers import Stage

logger = logging.getLogger(__name__)

REDIS_TIMEOUT = 0.5  # seconds
SQLITE_LOCK_TIMEOUT = 0.5  # seconds to wait while another process writes to the file
SQLITE_RETRY_DELAY = 0.01  # seconds
COOLDOWN = 5.0  # seconds without another attempt after a failure
REDIS_NAMESPACE = "github-task-tracker-json"
RECEIVED_AT = "X-Received-At"  # our own header: when the response came from GitHub
KEPT_HEADERS = ("ETag", "Location", RECEIVED_AT)
KEPT_STATUSES = (200, 301, 403, 429)  # metadata, a rename, rate limits
FAILURES = (OSError, sqlite3.Error, RedisError)

Check = Callable[[requests.Response], None]  # raises a requests.RequestException


def dumps(response: CachedResponse) -> str:
    """Return a response as JSON."""
    return json.dumps(
        {
            "url": response.url,
            "status": response.status_code,
            "headers": {n: response.headers[n] for n in KEPT_HEADERS if n in response.headers},
            "body": response.content.decode(errors="replace"),
            "created_at": response.created_at.isoformat(),
            "expires": response.expires and response.expires.isoformat(),
        }
    )


def loads(text: str | bytes, check: Check) -> CachedResponse:
    """Return the response; ValueError if the text is none of ours, or `check` refuses it."""
    try:
        found = json.loads(text)
        response = CachedResponse(
            url=found["url"],
            status_code=found["status"],
            headers=CaseInsensitiveDict(found["headers"]),
            content=found["body"].encode(),
            encoding="utf-8",
            created_at=_moment(found["created_at"]),
            expires=found["expires"] and _moment(found["expires"]),
        )
        _moment(response.headers[RECEIVED_AT])
        check(response)
    except (LookupError, TypeError, AttributeError, RecursionError, OSError) as error:
        raise ValueError("not a cached response") from error
    if response.status_code not in KEPT_STATUSES:
        raise ValueError("not a cached response")
    return response


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("a time without its zone")
    return moment


class JSONSerializer(Stage):
    """Serializer of cached responses: JSON of what the client needs.

    requests-cache's default is pickle: with it, a program that can write to the cache could run
    code in this process.
    """

    def __init__(self, check: Check) -> None:
        super().__init__(dumps=dumps, loads=partial(loads, check=check))


class SQLiteStorage(BaseStorage[str, CachedResponse]):
    """Responses in an SQLite file.

    requests-cache's own waits forever for a locked file and hides failed writes:
    https://github.com/requests-cache/requests-cache/blob/v1.3.3/requests_cache/backends/sqlite.py#L291
    """

    def __init__(self, path: str, check: Check) -> None:
        super().__init__(serializer=JSONSerializer(check))
        self._lock = RLock()
        # SQLite's own wait for a lock would stop every greenlet: _execute waits instead.
        self._connection = sqlite3.connect(
            path, timeout=0, isolation_level=None, check_same_thread=False
        )
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("PRAGMA synchronous = NORMAL")
        self._execute("CREATE TABLE IF NOT EXISTS github (key TEXT PRIMARY KEY, value TEXT)")

    def __getitem__(self, key: str) -> CachedResponse:
        rows = self._execute("SELECT value FROM github WHERE key = ?", key)
        if not rows:
            raise KeyError(key)
        response: CachedResponse = self.deserialize(key, rows[0][0])
        return response

    def __setitem__(self, key: str, value: CachedResponse) -> None:
        self._execute("INSERT OR REPLACE INTO github VALUES (?, ?)", key, self.serialize(value))

    def __delitem__(self, key: str) -> None:
        self[key]  # a KeyError, as a mapping's
        self._execute("DELETE FROM github WHERE key = ?", key)

    def __iter__(self) -> Iterator[str]:
        return (key for (key,) in self._execute("SELECT key FROM github"))

    def __len__(self) -> int:
        return int(self._execute("SELECT count(*) FROM github")[0][0])

    def clear(self) -> None:
        """Delete all responses."""
        self._execute("DELETE FROM github")

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _execute(self, sql: str, *parameters: str) -> list[Any]:
        deadline = time.monotonic() + SQLITE_LOCK_TIMEOUT
        while True:
            try:
                with self._lock:
                    return self._connection.execute(sql, parameters).fetchall()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(SQLITE_RETRY_DELAY)


class FallbackCache(BaseCache):
    """A cache that uses memory while another cache fails; each change is logged once."""

    def __init__(self, primary: BaseCache, check: Check) -> None:
        super().__init__()
        self.responses = SQLiteStorage(":memory:", check)
        self._primary = primary
        self._failing = False
        self._resume_at = 0.0

    def get_response(self, key: str, default: Any = None) -> CachedResponse | None:
        found: CachedResponse | None = self._attempt(self._primary.get_response, key)
        if found is None and self._failing:
            found = super().get_response(key)
        return default if found is None else found  # a cached refusal is falsy

    def save_response(
        self,
        response: requests.Response,
        cache_key: str | None = None,
        expires: datetime | None = None,
    ) -> None:
        failing_before = self._failing
        self._attempt(self._primary.save_response, response, cache_key, expires, recovers=True)
        if self._failing:
            super().save_response(response, cache_key, expires)
        elif failing_before:
            self.responses.clear()

    def delete(self, *keys: str, **kwargs: Any) -> None:
        self._attempt(self._primary.delete, *keys, **kwargs)
        for key in keys:
            self.responses.pop(key, None)

    def _attempt(
        self, operation: Callable[..., Any], *args: Any, recovers: bool = False, **kwargs: Any
    ) -> Any:
        """Return the operation's result, or None where it fails or failed a moment ago."""
        if time.monotonic() < self._resume_at:
            return None
        try:
            result = operation(*args, **kwargs)
        except FAILURES as error:
            self._resume_at = time.monotonic() + COOLDOWN
            if not self._failing:
                self._failing = True
                logger.warning("GITHUB_CACHE failed, using memory instead: %s", error)
            return None
        if recovers and self._failing:
            self._failing = False
            logger.warning("GITHUB_CACHE works again")
        return result


def open_cache(location: str, check: Check) -> BaseCache:
    """Open the cache that GITHUB_CACHE names: `memory`, a file's path, or a `redis://` URL.

    If it cannot be opened, the cache is in memory. An entry that `check` refuses is a miss:
    another version of this program, or another program, has stored it.
    """
    try:
        if location == "memory":
            return _storage_cache(SQLiteStorage(":memory:", check))
        if "://" in location:
            return FallbackCache(_open_redis(location, check), check)
        return FallbackCache(_open_file(Path(location), check), check)
    except (*FAILURES, ValueError) as error:
        logger.warning("GITHUB_CACHE can't be opened, using memory instead: %s", error)
        return _storage_cache(SQLiteStorage(":memory:", check))


def _storage_cache(storage: SQLiteStorage) -> BaseCache:
    cache = BaseCache()
    cache.responses = storage
    return cache


def _open_redis(url: str, check: Check) -> BaseCache:
    redis = Redis.from_url(url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT)
    # Redis must not expire them: old responses are revalidated, or used while GitHub fails.
    serializer = JSONSerializer(check)
    return RedisCache(REDIS_NAMESPACE, connection=redis, ttl=False, serializer=serializer)


def _open_file(path: Path, check: Check) -> BaseCache:
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.parent.stat().st_mode
    if mode & (S_IWGRP | S_IWOTH) and not mode & S_ISVTX:
        raise PermissionError(f"other accounts can write to {path.parent}")
    # Only for this account, an existing file too: responses may describe private repositories.
    path.touch(0o600)
    path.chmod(0o600)
    return _storage_cache(SQLiteStorage(str(path), check))
