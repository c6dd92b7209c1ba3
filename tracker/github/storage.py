"""Storage of cached responses: JSON in SQLite or Redis, and leases and notes beside them."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from functools import partial
from threading import RLock
from typing import Any
from weakref import finalize

import requests
from redis import Redis
from requests.structures import CaseInsensitiveDict
from requests_cache.backends.base import BaseStorage
from requests_cache.models.response import CachedResponse
from requests_cache.serializers import Stage

SQLITE_LOCK_TIMEOUT = 0.5  # seconds to wait while another process writes to the file
SQLITE_RETRY_DELAY = 0.01  # seconds
REDIS_NAMESPACE = "github-task-tracker-json"
RECEIVED_AT = "X-Received-At"  # our own header: when the response came from GitHub
KEPT_HEADERS = ("ETag", "Location", RECEIVED_AT)
KEPT_STATUSES = (200, 301, 403, 429)  # metadata, a rename, rate limits

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
        finalize(self, self._connection.close)  # CPython 3.13 warns of open ones
        self._execute("PRAGMA journal_mode = WAL")
        self._execute("PRAGMA synchronous = NORMAL")
        self._execute("CREATE TABLE IF NOT EXISTS github (key TEXT PRIMARY KEY, value TEXT)")
        self._execute("CREATE TABLE IF NOT EXISTS leases (key TEXT PRIMARY KEY, expires REAL)")
        self._execute("CREATE TABLE IF NOT EXISTS notes (key TEXT PRIMARY KEY, value TEXT)")

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

    def acquire(self, key: str, seconds: float) -> bool:
        """Acquire a lease on a key for so many seconds; return whether it was free."""
        self._execute("DELETE FROM leases WHERE expires < ?", time.time())
        try:
            self._execute("INSERT INTO leases VALUES (?, ?)", key, time.time() + seconds)
        except sqlite3.IntegrityError:
            return False
        return True

    def renew(self, keys: Iterable[str], seconds: float) -> None:
        """Renew leases: each ends this number of seconds from now."""
        for key in keys:
            self._execute("UPDATE leases SET expires = ? WHERE key = ?", time.time() + seconds, key)

    def release(self, key: str) -> None:
        """Release a lease."""
        self._execute("DELETE FROM leases WHERE key = ?", key)

    def write_note(self, key: str, text: str) -> None:
        """Store a text that is no response."""
        self._execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", key, text)

    def read_note(self, key: str) -> str | None:
        """Return the stored text, or None."""
        rows = self._execute("SELECT value FROM notes WHERE key = ?", key)
        return str(rows[0][0]) if rows else None

    def _execute(self, sql: str, *parameters: Any) -> list[Any]:
        deadline = time.monotonic() + SQLITE_LOCK_TIMEOUT
        while True:
            try:
                with self._lock:
                    return self._connection.execute(sql, parameters).fetchall()
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() >= deadline:
                    raise
                time.sleep(SQLITE_RETRY_DELAY)


class RedisShared:
    """Leases and notes in Redis."""

    def __init__(self, redis: Redis) -> None:
        self._redis = redis

    def acquire(self, key: str, seconds: float) -> bool:
        """Acquire a lease on a key for so many seconds; return whether it was free."""
        return bool(self._redis.set(self._lease(key), 1, nx=True, px=int(seconds * 1000)))

    def renew(self, keys: Iterable[str], seconds: float) -> None:
        """Renew leases: each ends this number of seconds from now."""
        for key in keys:
            self._redis.pexpire(self._lease(key), int(seconds * 1000))

    def release(self, key: str) -> None:
        """Release a lease."""
        self._redis.delete(self._lease(key))

    def _lease(self, key: str) -> str:
        return f"{REDIS_NAMESPACE}-lease:{key}"

    def write_note(self, key: str, text: str) -> None:
        """Store a text that is no response."""
        self._redis.set(f"{REDIS_NAMESPACE}-note:{key}", text)

    def read_note(self, key: str) -> str | None:
        """Return the stored text, or None."""
        text: Any = self._redis.get(f"{REDIS_NAMESPACE}-note:{key}")
        return text.decode(errors="replace") if text is not None else None
