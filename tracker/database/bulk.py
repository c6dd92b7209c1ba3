"""Statements that change or delete many tasks, for a transaction on the checked-out connection."""

from collections.abc import Collection
from typing import Any

from peewee import SQL, fn

from .models import TAGS_MAX, Task
from .queries import any_differs, next_version


def with_tags(added: list[str], removed: list[str]) -> SQL:
    """Return the expression for a task's tags without the removed ones, then with the added ones.

    Tags with equal keys are one tag: one that a task has already keeps its place and spelling.
    """
    kept = (
        "ARRAY(SELECT tag FROM unnest(tags, tag_keys) WITH ORDINALITY AS old(tag, key, position)"
        " WHERE key <> ALL (lower_tags(%s::text[])) ORDER BY position)"
    )
    new = (
        "ARRAY(SELECT tag FROM unnest(%s::text[], lower_tags(%s::text[]))"
        " WITH ORDINALITY AS new(tag, key, position)"
        " WHERE key <> ALL (tag_keys) OR key = ANY (lower_tags(%s::text[])) ORDER BY position)"
    )
    return SQL(f"({kept} || {new})", (removed, added, added, removed))


def count_too_many_tags(task_ids: list[int], tags: SQL) -> int:
    """Return how many of the tasks would have more than TAGS_MAX tags."""
    too_many = fn.cardinality(tags) > TAGS_MAX
    return int(Task.select().where(_among(task_ids) & too_many).count())


def update_tasks(task_ids: list[int], values: dict[str, Any]) -> int:
    """Store new values; return how many tasks had others, each of which gets a new version."""
    changed = _among(task_ids) & any_differs(values)
    return int(Task.update(**values, **next_version()).where(changed).execute())


def delete_tasks(task_ids: list[int]) -> int:
    """Delete the tasks; return how many existed."""
    return int(Task.delete().where(_among(task_ids)).execute())


def _among(task_ids: Collection[int]) -> Any:
    return Task.id == fn.ANY(SQL("%s::bigint[]", (task_ids,)))
