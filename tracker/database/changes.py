"""Tables of what GitHub's answers changed, and their statements, for the checked-out connection.

A repository's rows stay when its last task is deleted.
"""

from collections.abc import Iterable, Sequence
from datetime import date, datetime
from enum import Enum
from functools import cache
from typing import Any

from peewee import (
    EXCLUDED,
    SQL,
    BigAutoField,
    BigIntegerField,
    Check,
    CompositeKey,
    DateField,
    Field,
    Model,
    TextField,
    fn,
)
from playhouse.postgres_ext import BinaryJSONField, DateTimeTZField

from .compiled import CompiledQuery, parameter
from .connection import database
from .models import Task, repository_key

FACTS = (Task.repository, Task.archived, Task.metadata_status, Task.license, Task.visibility)


class ChangeKind(str, Enum):
    """What GitHub changed about a repository."""

    RENAMED = "renamed"
    ARCHIVED = "archived"
    UNARCHIVED = "unarchived"
    UNAVAILABLE = "unavailable"
    AVAILABLE = "available"
    LICENSE = "license"
    VISIBILITY = "visibility"


class FormerName(Model):
    """A name that a repository had, in lower case: lists find its tasks by it."""

    name = TextField()
    repository_id = BigIntegerField()

    class Meta:
        database = database
        table_name = "former_names"
        primary_key = CompositeKey("name", "repository_id")


class Change(Model):
    """A difference between an answer of GitHub and the facts that the tasks had before.

    `help_text` describes a field in the OpenAPI document.
    """

    id = BigAutoField(help_text="Assigned by the service.")
    repository_id = BigIntegerField()
    repository = TextField(help_text="`owner/name` after the change.")
    kind = TextField(choices=ChangeKind, help_text="What changed.")
    before = BinaryJSONField(
        null=True,
        index=False,
        help_text="Earlier value of the task's field: `repository`, `archived`,"
        " `metadata_status`, `license` or `visibility`.",
    )
    after = BinaryJSONField(null=True, index=False, help_text="New value of the same field.")
    seen_at = DateTimeTZField(help_text="When GitHub sent the new value.")
    previously_seen_at = DateTimeTZField(help_text="When GitHub last sent the earlier value.")

    class Meta:
        database = database
        table_name = "changes"
        constraints = (
            Check(
                f"kind IN ({', '.join(repr(kind.value) for kind in ChangeKind)})",
                name="changes_kind_known",
            ),
        )

    @classmethod
    def public_fields(cls) -> list[Field]:
        """Return the fields that a response has, in its order."""
        return [field for field in cls._meta.sorted_fields if field.name != "repository_id"]


class StarCount(Model):
    """The last number of stars that GitHub sent on a day, in UTC, and the name at that time."""

    repository_id = BigIntegerField()
    date = DateField(help_text="Day, in UTC.")
    stars = BigIntegerField(help_text="Last number of stars that GitHub sent on that day.")
    repository = TextField()
    seen_at = DateTimeTZField()

    class Meta:
        database = database
        table_name = "stars"
        primary_key = CompositeKey("repository_id", "date")
        constraints = (Check("stars >= 0", name="stars_natural"),)


_star_key = fn.lower(StarCount.repository.collate('"C"'))

for _model, _name, _definition in (
    (Change, "changes_seen_at", "changes (seen_at, id)"),
    (Change, "changes_repository", "changes (repository_id, seen_at)"),
    (StarCount, "stars_repository", """stars (lower(repository COLLATE "C"))"""),
):
    _model.add_index(SQL(f"CREATE INDEX {_name} ON {_definition}"))


def end_facts(repository_id: int) -> list[dict[str, Any]]:
    """Return the FACTS of the tasks with a repository's first and last name."""
    names = [field.name for field in FACTS]
    return [dict(zip(names, row, strict=True)) for row in _ends().execute(id=repository_id)]


@cache
def _ends() -> CompiledQuery:
    """Return the query of the first and the last task in the index on the repository.

    For an inequality, or for min() and max(), PostgreSQL may read every task of a repository.
    """
    tasks = Task.select(*FACTS).where(Task.repository_id == parameter("id"))
    orders = (Task.repository, Task.repository.desc())
    first, last = (tasks.order_by(order).limit(SQL("1")) for order in orders)
    return CompiledQuery(first.union_all(last), prepare=True)


def newest_facts(repository_ids: Sequence[int]) -> Task | None:
    """Return the FACTS of the task with a repository's newest metadata, and their time."""
    tasks = Task.select(*FACTS, Task.metadata_fetched_at)
    tasks = tasks.where(Task.repository_id.in_(repository_ids))
    newest_first = (Task.metadata_fetched_at.desc(nulls="LAST"), Task.id.desc())
    newest: Task | None = tasks.order_by(*newest_first).first()
    return newest


def changes_since(repository_ids: Sequence[int], time: datetime) -> list[Change]:
    """Return a repository's changes at this time or later, oldest first."""
    changes = Change.select().where(
        Change.repository_id.in_(repository_ids), Change.seen_at >= time
    )
    return list(changes.order_by(Change.seen_at, Change.id))


def insert_changes(rows: list[dict[str, Any]]) -> None:
    """Store changes."""
    Change.insert_many(rows).execute()


def store_stars(repository_id: int, name: str, stars: int, seen_at: datetime) -> None:
    """Store the stars of the time's day, unless that day has a later number."""
    _store_stars().execute(
        repository_id=repository_id,
        date=seen_at.date(),
        stars=stars,
        repository=name,
        seen_at=seen_at,
    )


@cache
def _store_stars() -> CompiledQuery:
    values: dict[Any, Any] = {
        field: parameter(field.name) for field in StarCount._meta.sorted_fields
    }
    kept = (StarCount.stars, StarCount.repository, StarCount.seen_at)
    row = StarCount.insert(values).on_conflict(
        conflict_target=[StarCount.repository_id, StarCount.date],
        preserve=kept,
        where=StarCount.seen_at < EXCLUDED.seen_at,
    )
    return CompiledQuery(row, prepare=True)


def read_stars(repository_ids: Sequence[int]) -> list[tuple[date, int]]:
    """Return each day with its number of stars, oldest first.

    A repository that was created anew under its name has two ids: the newer one counts.
    """
    rows = StarCount.select(StarCount.date, StarCount.stars)
    rows = rows.where(StarCount.repository_id.in_(repository_ids)).distinct(StarCount.date)
    found = rows.order_by(StarCount.date, StarCount.seen_at.desc()).tuples()
    return [(day, stars) for day, stars in found.execute()]


def repository_ids(name: str) -> list[int] | None:
    """Return the ids of the repositories that a name stands for; None if it stands for none.

    Those are the ones whose tasks have the name, or else the ones that had it.
    """
    name = name.lower()
    tasks = Task.select(Task.repository_id).where(repository_key == name).distinct()
    if rows := _first_column(tasks):
        return [found for found in rows if found is not None]
    former = FormerName.select(FormerName.repository_id).where(FormerName.name == name)
    counted = StarCount.select(StarCount.repository_id).where(_star_key == name)
    return sorted({*_first_column(former), *_first_column(counted.distinct())}) or None


def _first_column(query: Any) -> list[Any]:
    rows: Iterable[tuple[Any, ...]] = query.tuples().execute()
    return [row[0] for row in rows]
