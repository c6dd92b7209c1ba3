"""Idempotency keys: a creation can be repeated safely, at any worker.

A request holds a lease on its key while it calls GitHub, without a lock or a transaction, and
completes it in the transaction that stores the task. The lease of a request that died expires.
"""

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from peewee import EXCLUDED, SQL

from ..database.connection import RETRY_AFTER, connection, database
from ..database.models import IdempotencyKey
from ..errors import DatabaseUnavailable, IdempotencyKeyInProgress, IdempotencyKeyReused

RETENTION = timedelta(days=7)
POLL_INTERVAL = 0.05  # seconds at first; it grows by half each time
POLL_INTERVAL_MAX = 0.5  # seconds


@dataclass(frozen=True)
class Lease:
    """The right to create the task of a key."""

    key: str
    claimed_at: datetime


_to_release: set[Lease] = set()  # leases that could not be released without a database


def acquire(key: str, body: dict[str, Any], seconds: float) -> Lease | int:
    """Return a lease on the key for so many seconds, or the id of the task that it created.

    While another request holds the lease, wait as long for its result.

    Raises:
        IdempotencyKeyReused: an earlier request used the key with another body.
        IdempotencyKeyInProgress: the other request has not finished.
    """
    _release_all()
    text = json.dumps(body, sort_keys=True, default=str)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    deadline = time.monotonic() + seconds
    interval = POLL_INTERVAL
    while (found := _try_acquire(key, fingerprint, seconds)) is None:
        if time.monotonic() >= deadline:
            raise IdempotencyKeyInProgress(
                "Another request with this Idempotency-Key has not finished; try again.",
                retry_after=RETRY_AFTER,
            )
        time.sleep(interval)
        interval = min(1.5 * interval, POLL_INTERVAL_MAX)
    return found


def complete(lease: Lease, task_id: int) -> None:
    """Store the task's id, in the transaction that creates the task.

    Raises:
        IdempotencyKeyInProgress: the lease has expired and another request has the key; the
            transaction must be rolled back.
    """
    if not _execute_for(lease, IdempotencyKey.update(task_id=task_id)):
        raise IdempotencyKeyInProgress(
            "This request took too long, and another one has its Idempotency-Key; try again.",
            retry_after=RETRY_AFTER,
        )


def release(lease: Lease) -> None:
    """Release a key that has no task; without a database, at the process's next use of a key."""
    _to_release.add(lease)
    with suppress(DatabaseUnavailable):
        _release_all()


def _release_all() -> None:
    for lease in list(_to_release):
        with connection(), database.atomic():
            _execute_for(lease, IdempotencyKey.delete())
        _to_release.discard(lease)


def _try_acquire(key: str, fingerprint: str, seconds: float) -> Lease | int | None:
    with connection(), database.atomic():
        lease = _insert(key, fingerprint, seconds)
        if lease:
            return lease
        found = IdempotencyKey.get_or_none(IdempotencyKey.key == key)
    if found is None:
        return None
    if found.fingerprint != fingerprint:
        raise IdempotencyKeyReused("Idempotency-Key was used with another body; use a new key.")
    task_id: int | None = found.task_id
    return task_id


def _insert(key: str, fingerprint: str, seconds: float) -> Lease | None:
    """Insert the key, or take over its expired lease."""
    old = IdempotencyKey.claimed_at < SQL("now() - %s", (RETENTION,))
    IdempotencyKey.delete().where(old).execute()
    expired = (
        IdempotencyKey.task_id.is_null()
        & (IdempotencyKey.claimed_at < SQL("now() - %s", (timedelta(seconds=seconds),)))
        & (IdempotencyKey.fingerprint == EXCLUDED.fingerprint)
    )
    rows = (
        IdempotencyKey.insert(key=key, fingerprint=fingerprint, claimed_at=SQL("now()"))
        .on_conflict(
            conflict_target=[IdempotencyKey.key],
            update={IdempotencyKey.claimed_at: EXCLUDED.claimed_at},
            where=expired,
        )
        .returning(IdempotencyKey.claimed_at)
        .execute()
    )
    return next((Lease(key, row.claimed_at) for row in rows), None)


def _execute_for(lease: Lease, query: Any) -> int:
    """Execute an update or delete of the lease's own row, while it has no task."""
    own = (IdempotencyKey.key == lease.key) & (IdempotencyKey.claimed_at == lease.claimed_at)
    return int(query.where(own, IdempotencyKey.task_id.is_null()).execute())
