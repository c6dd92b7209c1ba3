"""Idempotency keys: a creation can be repeated safely, at any worker.

A request holds a lease on its key while it calls GitHub, without a lock or a transaction, and
completes it in the transaction that stores the task. Meanwhile its process renews the lease, so
that the lease of a process that died soon expires.
"""

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from peewee import SQL, Case

from ..database.connection import RETRY_AFTER, connection, database
from ..database.models import IdempotencyKey
from ..errors import DatabaseUnavailable, IdempotencyKeyInProgress, IdempotencyKeyReused
from ..renewal import Renewer

RETENTION = timedelta(days=7)
LEASE = timedelta(seconds=1.5)
RENEWAL_INTERVAL = 0.4  # seconds
POLL_INTERVAL = 0.05  # seconds at first; it grows by half each time
POLL_INTERVAL_MAX = 0.4  # seconds


@dataclass(frozen=True)
class Lease:
    """The right to create the task of a key."""

    key: str
    claimed_at: datetime


_to_release: set[Lease] = set()  # leases that could not be released without a database


def acquire(key: str, body: dict[str, Any], seconds: float) -> Lease | int:
    """Return a lease on the key, or the id of the task that it created.

    While another request holds the lease, wait so many seconds for its result. An older version
    of this code does not renew its leases: they last so many seconds.

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


def _renew(leases: set[Lease]) -> None:
    """Put off the end of leases, but of one whose task is being stored: its row is locked."""
    own = (
        IdempotencyKey.key.in_([lease.key for lease in leases])
        & IdempotencyKey.claimed_at.in_([lease.claimed_at for lease in leases])
        & IdempotencyKey.task_id.is_null()
    )
    unlocked = IdempotencyKey.select(IdempotencyKey.key).where(own).for_update(skip_locked=True)
    # Without a database no process can take a lease over; the next round renews them.
    with suppress(DatabaseUnavailable), connection(), database.atomic():
        renewal = IdempotencyKey.update(lease_until=SQL("now() + %s", (LEASE,)))
        renewal.where(IdempotencyKey.key.in_(unlocked)).execute()


renewed = Renewer(_renew, RENEWAL_INTERVAL).renewed


def complete(lease: Lease, task_id: int) -> None:
    """Store the task's id, in the transaction that creates the task.

    Raises:
        IdempotencyKeyInProgress: the lease has expired and another request has the key; the
            transaction must be rolled back.
    """
    if not IdempotencyKey.update(task_id=task_id).where(_own(lease)).execute():
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
            IdempotencyKey.delete().where(_own(lease)).execute()
        _to_release.discard(lease)


def _try_acquire(key: str, fingerprint: str, seconds: float) -> Lease | int | None:
    with connection(), database.atomic():
        old = IdempotencyKey.claimed_at < SQL("now() - %s", (RETENTION,))
        IdempotencyKey.delete().where(old).execute()
        if lease := _insert(key, fingerprint):
            return lease
        found = IdempotencyKey.get_or_none(IdempotencyKey.key == key)
        if found is None:  # released a moment ago
            return None
        if found.fingerprint != fingerprint:
            raise IdempotencyKeyReused("Idempotency-Key was used with another body; use a new key.")
        task_id: int | None = found.task_id
        return task_id or _take_over(Lease(key, found.claimed_at), seconds)


def _insert(key: str, fingerprint: str) -> Lease | None:
    columns = {"key": key, "fingerprint": fingerprint, **_from_now()}
    rows = (
        IdempotencyKey.insert(**columns)
        .on_conflict_ignore()
        .returning(IdempotencyKey.claimed_at)
        .execute()
    )
    return next((Lease(key, row.claimed_at) for row in rows), None)


def _take_over(lease: Lease, seconds: float) -> Lease | None:
    """Return a lease in place of another's that has expired, or None."""
    unrenewed_until = SQL("claimed_at + %s", (timedelta(seconds=seconds),))
    # An older version that takes a key over leaves the end of the former lease.
    renewed = IdempotencyKey.lease_until > IdempotencyKey.claimed_at
    until = Case(None, [(renewed, IdempotencyKey.lease_until)], unrenewed_until)
    expired = until < SQL("now()")
    query = IdempotencyKey.update(**_from_now()).returning(IdempotencyKey.claimed_at)
    rows = query.where(_own(lease), expired).execute()
    return next((Lease(lease.key, row.claimed_at) for row in rows), None)


def _from_now() -> dict[str, SQL]:
    """Return the columns of a new lease."""
    return {"claimed_at": SQL("now()"), "lease_until": SQL("now() + %s", (LEASE,))}


def _own(lease: Lease) -> Any:
    """Return the condition for the lease's own row, while it has no task."""
    return (
        (IdempotencyKey.key == lease.key)
        & (IdempotencyKey.claimed_at == lease.claimed_at)
        & IdempotencyKey.task_id.is_null()
    )
