"""Export of the tasks that filters select, from one snapshot and in constant memory."""

import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from functools import lru_cache
from threading import BoundedSemaphore
from typing import Any

from peewee import SQL, Select

from ..config import Settings
from ..database.compiled import CompiledQuery
from ..database.connection import connection, retry_on_disconnect
from ..database.driver import SETTINGS
from ..database.models import Task
from ..database.pool import Pool
from ..database.queries import json_columns
from ..database.standby import new_reading_pool, prefer_standby
from ..errors import DatabaseTimeout, TooManyExports
from .filters import apply_filters, filter_values
from .page_queries import UNEVEN, estimate

EXPORTS_MAX = 2  # at a time, in all processes: each holds a snapshot, and keeps dead rows alive
EXPORT_RETRY_AFTER = 10  # seconds
EXPORT_TIMEOUT = 3_600.0  # seconds for a whole export, however slowly the client reads
FEW = 100_000  # tasks that PostgreSQL sorts for an export
BATCH = 25  # tasks, of up to 60 KiB each, of which a worker has several copies
# Between two batches a transaction is idle while the client reads; the worker's deadline for a
# write is shorter, and this one is for a worker that hangs.
SESSION = SETTINGS | {"idle_in_transaction_session_timeout": "40000"}  # milliseconds

_exports = BoundedSemaphore(EXPORTS_MAX)


def export_batches(settings: Settings, filters: dict[str, Any]) -> Generator[list[str], None, None]:
    """Yield all tasks that the filters select as JSON, in batches, in the order of their ids.

    The connection is not one of the pool's, so other requests do not wait for it. Close the
    iterator to release it early.

    Raises:
        TooManyExports: EXPORTS_MAX others are running.
        DatabaseUnavailable: PostgreSQL can't read them now.
    """
    with process_slot():
        values, few = _prepare(filters)
        with new_reading_pool(settings, SESSION) as pool:
            pool.begin()
            lock_slot(pool)
            sql, parameters = _query(few, *filters).bind(**values)
            # What is stored after this statement is not visible to the cursor.
            pool.execute_sql(f"DECLARE export NO SCROLL CURSOR FOR {sql}", parameters)
            deadline = time.monotonic() + EXPORT_TIMEOUT
            while batch := pool.execute_sql(f"FETCH {BATCH} FROM export").fetchall():
                yield [task for (task,) in batch]
                time.sleep(0)  # under gevent, other requests run meanwhile
                if time.monotonic() > deadline:
                    raise DatabaseTimeout(f"Export took longer than {EXPORT_TIMEOUT:,.0f} seconds.")
            pool.commit()


@contextmanager
def process_slot() -> Iterator[None]:
    """Limit the exports of this process, and with them the connections that they open.

    Raises:
        TooManyExports: EXPORTS_MAX others are running.
    """
    if not _exports.acquire(blocking=False):
        raise too_many()
    try:
        yield
    finally:
        _exports.release()


def lock_slot(pool: Pool) -> None:
    """Limit the exports of all processes, by a lock that ends with the transaction.

    Raises:
        TooManyExports: EXPORTS_MAX others are running.
    """
    lock = "SELECT pg_try_advisory_xact_lock(hashtext('export'), %s)"
    slots = range(EXPORTS_MAX)
    if not any(pool.execute_sql(lock, (slot,)).fetchone()[0] for slot in slots):
        raise too_many()


def too_many() -> TooManyExports:
    """Return the error for one export more than there may be."""
    return TooManyExports("Too many exports at a time; try again.", retry_after=EXPORT_RETRY_AFTER)


@retry_on_disconnect
@prefer_standby
def _prepare(filters: dict[str, Any]) -> tuple[dict[str, Any], bool]:
    """Return the values of the filters, and whether these seem to select few tasks."""
    with connection():
        values = filter_values(filters)
        uneven = bool(UNEVEN & filters.keys())
        return values, uneven and estimate(tuple(filters), values) <= FEW


@lru_cache(maxsize=1000)
def _query(few: bool, *filters: str) -> CompiledQuery:
    """Return the query of the tasks; few ones are found first, and sorted then.

    Along the index of ids, PostgreSQL would look for a rare word in every task.
    """
    json = json_columns()[2]
    if few:
        found = apply_filters(Task.select(), filters).offset(SQL("0")).alias("found")
        return CompiledQuery(Select((found,), (json,)).order_by(SQL("id")))
    return CompiledQuery(apply_filters(Task.select(json), filters).order_by(Task.id))
