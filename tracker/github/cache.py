"""Cache of GitHub's responses. A cache that fails costs calls to GitHub, never a request."""

import logging
import os
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from stat import S_ISLNK, S_ISVTX, S_IWGRP, S_IWOTH
from typing import Any

import requests
from redis import Redis, RedisError
from requests_cache.backends.base import BaseCache
from requests_cache.backends.redis import RedisCache
from requests_cache.models.response import CachedResponse

from .storage import REDIS_NAMESPACE, Check, JSONSerializer, RedisShared, SQLiteStorage

logger = logging.getLogger(__name__)

REDIS_TIMEOUT = 0.5  # seconds
COOLDOWN = 5.0  # seconds without another attempt after a failure
FAILURES = (OSError, sqlite3.Error, RedisError)
SQLITE_ENDINGS = ("-wal", "-shm", "-journal")  # of the files beside a database


class FallbackCache(BaseCache):
    """A cache that uses memory while another cache fails; each change is logged once."""

    def __init__(
        self, primary: BaseCache, shared: SQLiteStorage | RedisShared, check: Check
    ) -> None:
        super().__init__()
        self._shared = shared
        self.responses = self._memory = SQLiteStorage(":memory:", check)
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

    def acquire(self, key: str, seconds: float) -> bool:
        """Acquire a lease on a key, which all processes with this cache share.

        While the cache fails, every process gets it.
        """
        return self._attempt(self._shared.acquire, key, seconds) is not False

    def renew(self, keys: Iterable[str], seconds: float) -> None:
        """Renew leases: each ends this number of seconds from now."""
        self._attempt(self._shared.renew, keys, seconds)

    def release(self, key: str) -> None:
        """Release a lease."""
        self._attempt(self._shared.release, key)

    def write_note(self, key: str, text: str) -> None:
        """Store a text that all processes with this cache share."""
        self._attempt(self._shared.write_note, key, text)
        if self._failing:
            self._memory.write_note(key, text)

    def read_note(self, key: str) -> str | None:
        """Return a stored text, or None."""
        found: str | None = self._attempt(self._shared.read_note, key)
        return self._memory.read_note(key) if found is None and self._failing else found

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


def open_cache(location: str, check: Check) -> FallbackCache:
    """Open the cache that GITHUB_CACHE names: `memory`, a file's path, or a `redis://` URL.

    If it cannot be opened, the cache is in memory. An entry that `check` refuses is a miss:
    another version of this program, or another program, has stored it.
    """
    try:
        if location == "memory":
            return _file_cache(":memory:", check)
        if "://" in location:
            return _redis_cache(location, check)
        return _file_cache(private_file(Path(location)), check)
    except (*FAILURES, ValueError) as error:
        logger.warning("GITHUB_CACHE can't be opened, using memory instead: %s", error)
        return _file_cache(":memory:", check)


def _redis_cache(url: str, check: Check) -> FallbackCache:
    redis = Redis.from_url(url, socket_timeout=REDIS_TIMEOUT, socket_connect_timeout=REDIS_TIMEOUT)
    # Redis must not expire them: old responses are revalidated, or used while GitHub fails.
    primary = RedisCache(
        REDIS_NAMESPACE, connection=redis, ttl=False, serializer=JSONSerializer(check)
    )
    return FallbackCache(primary, RedisShared(redis), check)


def _file_cache(path: str, check: Check) -> FallbackCache:
    storage = SQLiteStorage(path, check)
    primary = BaseCache()
    primary.responses = storage
    return FallbackCache(primary, storage, check)


def check_file(path: Path) -> None:
    """Check a cache file, and its folder, as the service does when it opens it; create neither.

    Raises:
        OSError: another account can change the file or the folder.
        sqlite3.Error: the file is no SQLite database.
    """
    if path.parent.exists():
        _check_folder(path.parent)
    if os.path.lexists(path):
        SQLiteStorage(private_file(path), lambda _: None).close()


def private_file(path: Path) -> str:
    """Return the path of a file that only this account can use; create it if necessary.

    Raises:
        OSError: another account can change the file or the folder.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    _check_folder(path.parent)
    # In /tmp another account could have created any of them, or a link to a file of this account.
    for name in (path.name, *(path.name + end for end in SQLITE_ENDINGS)):
        with suppress(FileNotFoundError):
            _check_owner(path.with_name(name), path.with_name(name).lstat())
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        _check_owner(path, os.fstat(descriptor))
        # An existing file too: responses may describe private repositories.
        os.fchmod(descriptor, 0o600)
    finally:
        os.close(descriptor)
    return str(path)


def _check_folder(folder: Path) -> None:
    status = folder.stat()
    if status.st_uid not in {os.geteuid(), 0}:  # root can write everywhere
        raise PermissionError(f"{folder} belongs to another account; use a folder of this one")
    if status.st_mode & (S_IWGRP | S_IWOTH) and not status.st_mode & S_ISVTX:
        raise PermissionError(f"other accounts can write to {folder}; run: chmod go-w {folder}")


def _check_owner(path: Path, status: os.stat_result) -> None:
    if S_ISLNK(status.st_mode):
        raise PermissionError(f"{path} is a link; name the file itself")
    if status.st_uid != os.geteuid():
        raise PermissionError(f"{path} belongs to another account; remove it, or name another file")
