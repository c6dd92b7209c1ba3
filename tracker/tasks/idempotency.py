"""Keys that let a client repeat a creation safely, however often and at however many workers.

Nothing is locked while GitHub is asked: a key is claimed in one short transaction, and settled in
the one that stores the task. A claim whose claimant died is taken over when its lease is over.
"""

import hashlib
import json
import time
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from peewee import EXCLUDED, SQL

from tracker.database.connection import RETRY_AFTER, borrowed, database
from tracker.database.models import IdempotencyKey
from tracker.errors import DatabaseUnavailable, KeyBusy, KeyUsed

RETENTION = timedelta(days=7)  # for which a key is remembered
POLL = 0.05  # seconds between two looks at a key that another request has claimed


@dataclass(frozen=True)
class Claim:
    """The right to create the task of a key."""

    key: str
    claimed_at: datetime


_owed: set[Claim] = set()  # claims of this process to be given back, once there is a database


def claim(
    key: str, body: dict[str, Any], lease: float, waiting: AbstractContextManager[None]
) -> Claim | int:
    """Claim the key, or give the id of the task that came of it.

    While another request has the key, this waits for what comes of it, `lease` seconds at most
    and in the context `waiting`.

    Raises:
        KeyUsed: the key came with another body before.
        KeyBusy: the other request has still not ended.
    """
    _give_back()
    text = json.dumps(body, sort_keys=True, default=str)
    fingerprint = hashlib.sha256(text.encode()).hexdigest()
    if found := _look(key, fingerprint, lease):
        return found
    deadline = time.monotonic() + lease
    with waiting:
        while time.monotonic() < deadline:
            time.sleep(POLL)
            if found := _look(key, fingerprint, lease):
                return found
    raise KeyBusy("A request with this Idempotency-Key is still at work.", retry_after=RETRY_AFTER)


def settle(claim: Claim, task_id: int) -> None:
    """Store what came of the claim, in the atomic block that creates the task.

    Raises:
        KeyBusy: the lease is over and another request has the key; the block must not be kept.
    """
    if not _mine(IdempotencyKey.update(task_id=task_id), claim):
        raise KeyBusy("This took too long; another request has its Idempotency-Key.")


def release(claim: Claim) -> None:
    """Give a key back that no task came of; without a database, once there is one again."""
    _owed.add(claim)
    with suppress(DatabaseUnavailable):
        _give_back()


def _give_back() -> None:
    for claim in list(_owed):
        with borrowed(), database.atomic():
            _mine(IdempotencyKey.delete(), claim)
        _owed.discard(claim)


def _look(key: str, fingerprint: str, lease: float) -> Claim | int | None:
    """Claim the key or give its task's id, if it is free or has one."""
    with borrowed(), database.atomic():
        found = _insert(key, fingerprint, lease) or _find(key)
    if isinstance(found, Claim) or found is None:
        return found
    if found.fingerprint != fingerprint:
        raise KeyUsed("Was used for another body; take a new key.")
    return found.task_id


def _insert(key: str, fingerprint: str, lease: float) -> Claim | None:
    forgotten = IdempotencyKey.claimed_at < SQL("now() - %s", (RETENTION,))
    IdempotencyKey.delete().where(forgotten).execute()
    abandoned = (
        IdempotencyKey.task_id.is_null()
        & (IdempotencyKey.claimed_at < SQL("now() - %s", (timedelta(seconds=lease),)))
        & (IdempotencyKey.fingerprint == EXCLUDED.fingerprint)
    )
    rows = (
        IdempotencyKey.insert(key=key, fingerprint=fingerprint, claimed_at=SQL("now()"))
        .on_conflict(
            conflict_target=[IdempotencyKey.key],
            update={IdempotencyKey.claimed_at: EXCLUDED.claimed_at},
            where=abandoned,
        )
        .returning(IdempotencyKey.claimed_at)
        .execute()
    )
    return next((Claim(key, row.claimed_at) for row in rows), None)


def _find(key: str) -> IdempotencyKey | None:
    return IdempotencyKey.get_or_none(IdempotencyKey.key == key)


def _mine(query: Any, claim: Claim) -> int:
    """Run an update or delete of the claim's own row, while no task came of it."""
    where = (IdempotencyKey.key == claim.key) & (IdempotencyKey.claimed_at == claim.claimed_at)
    return int(query.where(where, IdempotencyKey.task_id.is_null()).execute())
