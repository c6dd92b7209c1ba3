"""The verb `undo`."""

from __future__ import annotations

import io
import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any

from ..tasks.phrases import count, sentence, visible
from . import services
from .client import Client
from .failures import FATAL, Exit, Refused
from .journal import UNKNOWN, Entry, last, restored
from .output import say
from .progress import Progress
from .reread import reread
from .verbs import verb

# What the user sets in a task; a deleted one is created again with it.
FIELDS = "title description status priority tags due_date repository issue".split()  # noqa: SIM905
NEWEST = 100  # tasks among which an imported one is found again
TOO_MANY = 429
# What is stored as it is sent.
EXACT = "status priority due_date issue".split()  # noqa: SIM905


@verb("undo", "undo", "done 1; {program} undo", "edit 2 --set-due fri; {program} undo")
def undo_verb() -> int:
    """Undo the last add, edit, start, done, reopen or rm.

    Tasks that were changed since are left as they are. A deleted task comes back with a new id.
    """
    client = services.find()
    found = last(client.place)
    if found is None:
        say("Nothing to undo.")
        return Exit.REFUSED
    path, command, entries = found
    undo = Undo(client, path.stem)
    try:
        undo.all(entries)
    finally:
        unfinished = [entry for entry in entries if entry["id"] not in undo.outcomes]
        outcomes = [undo.outcomes[e["id"]] for e in entries if e["id"] in undo.outcomes]
        restored(path, unfinished, [outcome.restored for outcome in outcomes if outcome.restored])
        for outcome in outcomes:
            if outcome.message:
                say(outcome.message)
        if unfinished:
            say(f"{count(len(unfinished), 'task')} left; undo again to go on.")
    say(f"Undid {command}: {count(sum(outcome.undone for outcome in outcomes), 'task')}.")
    return Exit.CHANGED if any(outcome.left for outcome in outcomes) else Exit.DONE


@dataclass
class Outcome:
    """What has become of a task."""

    message: str = ""
    undone: bool = False
    left: bool = False  # as it is
    restored: tuple[Entry, Entry] | None = None  # the task as it was, and as it is now


class Undo:
    """The undoing of a command, task by task."""

    def __init__(self, client: Client, command: str) -> None:
        self._client, self._command = client, command
        self._now: dict[int, Entry] = {}  # tasks that were read in pages
        self.outcomes: dict[int, Outcome] = {}  # by the task's id, as soon as there is one

    def all(self, entries: list[Entry]) -> None:
        """Put the tasks back, a few at a time; after a failure no further one is begun.

        Raises:
            Failure: another attempt may succeed.
        """
        new = any(entry["before"] and entry["fields"] is None for entry in entries)
        # Tasks that are created again get their ids in the order of the journal.
        workers = 1 if new else self._client.transport.parallel
        with Progress("Undoing", len(entries)) as progress, ThreadPoolExecutor(workers) as pool:
            if not new:
                ids = [entry["id"] for entry in entries]
                self._now = reread(self._client, ids, max(map(latest, entries)))
            try:
                for _ in pool.map(self._one, entries):
                    progress.advance()
            finally:
                pool.shutdown(cancel_futures=True)

    def _one(self, entry: Entry) -> None:
        """Put a task back, or record why it is left as it is."""
        try:
            outcome = self._put_back(entry)
        except Refused as error:
            status = error.response.status
            if error.exit_code in FATAL or status >= UNKNOWN or status == TOO_MANY:
                raise
            outcome = Outcome(f"#{entry['id']} is left: {error.text}", left=True)
        self.outcomes[entry["id"]] = outcome

    def _put_back(self, entry: Entry) -> Outcome:
        number, before = entry["id"], entry["before"]
        deleted = before is not None and entry["fields"] is None
        read_in_page = self._now.pop(number, None)
        try:
            task = read_in_page or self._client.task(number)
        except Refused as error:
            if error.response.status != 404:
                raise
            if deleted:
                return self._create_again(before)
            gone = Outcome(f"#{number} is gone", left=True)
            return Outcome() if before is None else gone
        if task["created_at"] != entry["created_at"]:
            return Outcome(f"#{number} is another task now: {sentence(task)}", left=True)
        old = {} if before is None or deleted else earlier(before, entry["fields"])
        if before is not None and old.items() <= task.items():
            return Outcome()  # the change did not happen, or changed nothing
        there = before is None or deleted or still_set(task, entry["fields"])
        if task["version"] != entry["version"] or not there:
            message = f"#{number} was changed since, and is left: {sentence(task)}"
            return Outcome(message, left=True)
        try:
            if before is None:
                self._client.delete(task)
                return Outcome(undone=True)
            return Outcome(undone=True, restored=(before, self._client.change(task, old)))
        except Refused as error:
            if error.exit_code != Exit.CHANGED or not read_in_page:
                raise
            return self._put_back(entry)  # it has changed since its page was read

    def _create_again(self, before: Entry) -> Outcome:
        fields = {name: before[name] for name in FIELDS}
        # The key of this command: an undo that was cut short creates nothing twice.
        key = f"undo-{self._command}-{before['id']}"
        note = ""
        try:
            task = self._client.create(fields, key, metadata="optional")
        except Refused as error:
            if error.reason != "repository_not_found":
                raise
            found = self._import(fields)
            if found is None:
                title = visible(before["title"])
                return Outcome(f"#{before['id']} is back under another id: {title}", undone=True)
            task = found
            note = f"; its metadata are {task['metadata_status']}: {error.text}"
        message = f"#{before['id']} is back as #{task['id']}: {visible(task['title'])}{note}"
        return Outcome(message, undone=True, restored=(before, task))

    def _import(self, fields: Entry) -> Entry | None:
        """Create a task by an import, which asks GitHub for nothing; return it if it is found.

        An import takes no idempotency key: the task of an undo that was cut short is looked for.
        """
        if found := self._find_new(fields):
            return found
        record = json.dumps(fields).encode()
        size = {"Content-Length": str(len(record))}
        body = io.BytesIO(record)
        self._client.send("POST", "/tasks/import", {"format": "jsonl"}, None, body, size).read()
        return self._find_new(fields)

    def _find_new(self, fields: Entry) -> Entry | None:
        """Return a task with these fields that was created after the command, and by no entry."""
        since = datetime.fromtimestamp(int(self._command) / 1e9, timezone.utc)
        query = {"repository": fields["repository"], "created_after": since.isoformat()}
        known = {o.restored[1]["id"] for o in self.outcomes.values() if o.restored}
        same = fields.keys() - {"repository"}  # which may have another name by now
        for task in self._client.every("/tasks", query, NEWEST):
            if task["id"] not in known and all(task[name] == fields[name] for name in same):
                return task
        return None


def latest(entry: Entry) -> str:
    """Return a time after which a task has been changed by the command."""
    return str((entry["before"] or entry)["updated_at" if entry["before"] else "created_at"])


def still_set(task: Entry, fields: dict[str, Any]) -> bool:
    """Return whether a task has what a change has set, as far as it is stored as it is sent."""
    return all(task[name] == fields[name] for name in EXACT if name in fields)


def earlier(before: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a change has set, with the values before it."""
    names = {"tags" if name.endswith("_tags") else name for name in fields}
    if "repository" in names:
        names.add("issue")  # a task that moves loses its issue
    return {name: before[name] for name in FIELDS if name in names}
