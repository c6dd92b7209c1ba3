"""Reads many tasks again in pages, where a request for each would take long."""

from __future__ import annotations

from collections.abc import Collection

from .client import Client
from .filters import STATUSES
from .journal import Entry, alters

FEW = 5  # tasks; so many are read one by one
OTHERS = 2  # times the tasks that are wanted; beyond that, others have changed too many


def reread(client: Client, ids: Collection[int], since: str) -> dict[int, Entry]:
    """Return those of the tasks that have changed since then, as they are now, by their id.

    Read a task that is not among them by itself: it is deleted, or was changed before.
    """
    wanted, found = set(ids), {}
    if len(wanted) <= FEW:
        return {}
    query = {"updated_since": since, "sort": "updated_at", "status": STATUSES}
    for task in client.every("/tasks", query, OTHERS * len(wanted)):
        if task["id"] in wanted:
            found[task["id"]] = task
            if len(found) == len(wanted):
                break
    return found


def reread_changed(client: Client, tasks: list[Entry], fields: Entry) -> list[Entry]:
    """Return the tasks as they are after a change of them all."""
    altered = [task["id"] for task in tasks if alters(task, fields)]
    found = reread(client, altered, max((task["updated_at"] for task in tasks), default=""))
    now = {number: found.get(number) or client.task(number) for number in altered}
    return [now.get(task["id"], task) for task in tasks]
