"""Statements that change or delete many tasks, for a transaction on the checked-out connection.

`selected` is a condition, and `parameters` the values of its parameters.
"""

from typing import Any

from peewee import SQL, Cast, fn

from .compiled import CompiledQuery, parameter
from .models import Task
from .queries import any_differs, completions, next_version

_AMONG = Task.id == fn.ANY(Cast(parameter("ids"), "bigint[]"))


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


def select_ids(selected: Any, parameters: dict[str, Any]) -> tuple[int, str]:
    """Return the number of the selected tasks, and their ids as the text of an array.

    No row is locked: Citus locks none of several shards. The ids never are numbers of Python,
    of which a million would hold up all other requests of the process.
    """
    ids = fn.coalesce(Cast(fn.array_agg(Task.id), "text"), "{}")
    query = Task.select(fn.count(SQL("*")), ids).where(selected)
    number, text = CompiledQuery(query).execute(**parameters).fetchone()
    return number, text


def update_tasks(
    ids: str, selected: Any, parameters: dict[str, Any], values: dict[str, Any]
) -> int:
    """Store new values in those of the tasks that still are selected, and have others.

    Returns their number; each gets a new version.
    """
    changed = 0
    # The tasks that keep a column come first: with the new values they would be among the rest.
    for condition, columns in reversed(completions(values)):
        rows = _AMONG & selected & condition & any_differs(values)
        update = Task.update(**values, **columns, **next_version()).where(rows)
        changed += CompiledQuery(update).execute(ids=ids, **parameters).rowcount
    return changed


def delete_tasks(ids: str, selected: Any, parameters: dict[str, Any]) -> int:
    """Delete those of the tasks that still are selected; return their number."""
    delete = CompiledQuery(Task.delete().where(_AMONG & selected))
    return int(delete.execute(ids=ids, **parameters).rowcount)
