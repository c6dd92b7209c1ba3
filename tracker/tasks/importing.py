"""Imports: check every record of a body first, without a database connection, then store all."""

import json
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import IO, Any, NamedTuple

from marshmallow import ValidationError
from peewee import IntegrityError

from ..database import imports
from ..database.connection import connection, database, retry_on_conflict
from ..database.errors import UNIQUE_VIOLATION, sqlstate
from ..database.models import MetadataStatus, Status
from .import_errors import ImportInProgress, InvalidRecords, TasksExist, TooManyRecords
from .records import Record

RECORDS_MAX = 200_000
INVALID_MAX = 20  # records whose errors are returned
BATCH_BYTES = 512 * 1024  # of the rows of one statement
BATCH_ROWS = 500
SPOOL_MAX = 1024 * 1024  # bytes of rows in memory; more are in a file without a name
YIELD_INTERVAL = 0.01  # seconds between two switches to other requests
YIELD_DELAY = 0.0001  # seconds
IMPORT_RETRY_AFTER = 10  # seconds
ADVISORY_LOCK = 0x6974_696D_706F_7274  # "itimport"
TASKS_EXIST = "Tasks can be restored only into a tracker without tasks; delete them, or import."
IMPORT_IN_PROGRESS = "Another import is in progress; try again."

Load = Callable[[Any], dict[str, Any]]

_slot = Lock()  # an import takes a second of CPU time for some 5,000 records


class Invalid(NamedTuple):
    """A record that can't be imported."""

    line: int
    errors: Any
    text: str


@dataclass
class Outcome:
    """The number of created tasks, the first invalid records, and the lines of further ones."""

    created: int = 0
    invalid: list[Invalid] = field(default_factory=list)
    more_invalid: list[int] = field(default_factory=list)

    def refuse(self, record: Record, errors: Any) -> None:
        """Count a record as invalid."""
        if len(self.invalid) < INVALID_MAX:
            self.invalid.append(Invalid(record.number, errors, record.text))
        else:
            self.more_invalid.append(record.number)


def import_tasks(
    records: Iterable[Record],
    load: Load,
    *,
    dry_run: bool = False,
    skip_invalid: bool = False,
    restore: bool = False,
) -> Outcome:
    """Store a task for each record, in one transaction.

    Args:
        records: what `formats.read_records` yields.
        load: returns the columns of a record's value, or raises ValidationError.
        dry_run: roll the transaction back.
        skip_invalid: store the valid records even if others are invalid.
        restore: the columns have each task's id, version, times and metadata.

    Raises:
        InvalidRecords: nothing is stored, because of invalid records.
        TooManyRecords: there are more than RECORDS_MAX; nothing is stored.
        TasksExist: tasks are to be restored, and there are some; nothing is stored.
        ImportInProgress: another request is importing.
        DatabaseUnavailable: nothing is stored.
    """
    with process_slot(), SpooledTemporaryFile(max_size=SPOOL_MAX) as rows:
        outcome, ids = _check(records, load, rows, restore=restore)
        if outcome.invalid and not (skip_invalid and outcome.created):
            raise _refusal(outcome)
        _store(rows, max(ids, default=0), restore=restore, dry_run=dry_run)
        return outcome


@contextmanager
def process_slot() -> Iterator[None]:
    """Limit imports to one at a time in this process.

    Raises:
        ImportInProgress: there is another one.
    """
    if not _slot.acquire(blocking=False):
        raise ImportInProgress(IMPORT_IN_PROGRESS, retry_after=IMPORT_RETRY_AFTER)
    try:
        yield
    finally:
        _slot.release()


def _check(
    records: Iterable[Record], load: Load, rows: IO[bytes], *, restore: bool
) -> tuple[Outcome, set[int]]:
    """Write the columns of each valid record to `rows`; return the ids that they have."""
    outcome, ids = Outcome(), set[int]()
    for number, record in enumerate(_yielding(records), 1):
        if number > RECORDS_MAX:
            raise TooManyRecords(f"Import exceeds the limit of {RECORDS_MAX:,} records; split it.")
        try:
            if record.problem:
                raise ValidationError({"_schema": [record.problem]})
            values = load(record.value)
            if restore:
                if values["id"] in ids:
                    raise ValidationError({"id": ["Another record has this id."]})
                ids.add(values["id"])
            else:
                values |= _new_columns(values)
        except ValidationError as error:
            outcome.refuse(record, error.messages)
        else:
            rows.write(json.dumps(values, default=str).encode() + b"\n")
            outcome.created += 1
    return outcome, ids


def _new_columns(values: dict[str, Any]) -> dict[str, Any]:
    """Return the columns that the service sets; PostgreSQL knows "now" as a time."""
    done = values["status"] == Status.DONE.value
    return {
        "metadata_status": MetadataStatus.PENDING.value,
        "completed_at": "now" if done else None,
    }


def _refusal(outcome: Outcome) -> InvalidRecords:
    number = len(outcome.invalid) + len(outcome.more_invalid)
    return InvalidRecords(
        f"Nothing is imported, because of invalid records: {number:,}; see invalid.",
        members={**vars(outcome), "created": 0, "invalid": [i._asdict() for i in outcome.invalid]},
    )


@retry_on_conflict
def _store(rows: IO[bytes], last_id: int, *, restore: bool, dry_run: bool) -> None:
    rows.seek(0)
    columns = list(json.loads(rows.readline() or "{}"))
    rows.seek(0)
    with connection(), database.atomic() as transaction:
        lock = "SELECT pg_try_advisory_xact_lock(%s)"
        if not database.execute_sql(lock, (ADVISORY_LOCK,)).fetchone()[0]:
            raise ImportInProgress(IMPORT_IN_PROGRESS, retry_after=IMPORT_RETRY_AFTER)
        if restore:
            if imports.any_exists():
                raise TasksExist(TASKS_EXIST)
            if not dry_run:
                imports.skip_ids(last_id)
                imports.forget_created()
        try:
            for batch in _batches(rows):
                imports.insert_tasks(batch, columns)
        except IntegrityError as error:
            if sqlstate(error) != UNIQUE_VIOLATION:
                raise
            raise TasksExist(TASKS_EXIST) from error
        if dry_run:
            transaction.rollback()


def _batches(rows: IO[bytes]) -> Iterator[str]:
    """Yield the rows as JSON arrays."""
    batch: list[bytes] = []
    size = 0
    for row in rows:
        batch.append(row)
        size += len(row)
        if len(batch) == BATCH_ROWS or size >= BATCH_BYTES:
            yield f"[{b','.join(batch).decode()}]"
            batch, size = [], 0
    if batch:
        yield f"[{b','.join(batch).decode()}]"


def yield_to_others() -> None:
    """Switch to other requests of the worker.

    After sleep(0), gevent may go on several hundred times before it looks at a socket.
    """
    time.sleep(YIELD_DELAY)


def _yielding(records: Iterable[Record]) -> Iterator[Record]:
    """Yield the records, and switch to other requests of the worker from time to time."""
    since = time.monotonic()
    for record in records:
        yield record
        if time.monotonic() - since >= YIELD_INTERVAL:
            yield_to_others()
            since = time.monotonic()
