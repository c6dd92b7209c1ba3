"""The verb `undo`."""

from __future__ import annotations

import io
import json
from typing import Any

from ..tasks.phrases import count, sentence, visible
from . import services
from .client import Client
from .failures import FATAL, Exit, Refused
from .journal import UNKNOWN, Entry, last, restored
from .output import say
from .progress import Progress
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
    over = 0
    try:
        with Progress("Undoing", len(entries)) as progress:
            for entry in entries:
                undo.one(entry)
                over += 1
                progress.advance()
    finally:
        restored(path, entries[over:], undo.restored)
        if over < len(entries):
            say(f"{count(len(entries) - over, 'task')} left; undo again to go on.")
    say(f"Undid {command}: {count(undo.undone, 'task')}.")
    return Exit.CHANGED if undo.left else Exit.DONE


class Undo:
    """The undoing of a command, task by task."""

    def __init__(self, client: Client, command: str) -> None:
        self._client, self._command = client, command
        self.undone = self.left = 0
        self.restored: list[tuple[Entry, Entry]] = []  # each task as it was, and as it is now

    def one(self, entry: Entry) -> None:
        """Put a task back, or say why it is left as it is.

        Raises:
            Failure: another attempt may succeed.
        """
        try:
            self._put_back(entry)
        except Refused as error:
            status = error.response.status
            if error.exit_code in FATAL or status >= UNKNOWN or status == TOO_MANY:
                raise
            self._leave(f"#{entry['id']} is left: {error.text}")

    def _put_back(self, entry: Entry) -> None:
        number, before = entry["id"], entry["before"]
        deleted = before is not None and entry["fields"] is None
        try:
            task = self._client.task(number)
        except Refused as error:
            if error.response.status != 404:
                raise
            if deleted:
                self._create_again(before)
            elif before is not None:
                self._leave(f"#{number} is gone")
            return
        if task["created_at"] != entry["created_at"]:
            self._leave(f"#{number} is another task now: {sentence(task)}")
            return
        old = {} if before is None or deleted else earlier(before, entry["fields"])
        if before is not None and old.items() <= task.items():
            return  # the change did not happen, or changed nothing
        there = before is None or deleted or still_set(task, entry["fields"])
        if task["version"] != entry["version"] or not there:
            self._leave(f"#{number} was changed since, and is left: {sentence(task)}")
            return
        if before is None:
            self._client.delete(task)
        else:
            self.restored.append((before, self._client.change(task, old)))
        self.undone += 1

    def _leave(self, message: str) -> None:
        say(message)
        self.left += 1

    def _create_again(self, before: Entry) -> None:
        fields = {name: before[name] for name in FIELDS}
        # The key of this command: an undo that was cut short creates nothing twice.
        key = f"undo-{self._command}-{before['id']}"
        note = ""
        try:
            task = self._client.create(fields, key, metadata="optional")
        except Refused as error:
            if error.reason != "repository_not_found":
                raise
            task = self._import(fields)
            note = f"; its metadata are {task['metadata_status']}: {error.text}"
        self.restored.append((before, task))
        self.undone += 1
        say(f"#{before['id']} is back as #{task['id']}: {visible(task['title'])}{note}")

    def _import(self, fields: Entry) -> Entry:
        """Create a task by an import, which asks GitHub for nothing; return it."""
        record = json.dumps(fields).encode()
        size = {"Content-Length": str(len(record))}
        body = io.BytesIO(record)
        self._client.send("POST", "/tasks/import", {"format": "jsonl"}, None, body, size).read()
        newest = self._client.every("/tasks", {"repository": fields["repository"]}, NEWEST)
        same = fields.keys() - {"repository"}  # which may have another name by now
        return next(task for task in newest if all(task[n] == fields[n] for n in same))


def still_set(task: Entry, fields: dict[str, Any]) -> bool:
    """Return whether a task has what a change has set, as far as it is stored as it is sent."""
    return all(task[name] == fields[name] for name in EXACT if name in fields)


def earlier(before: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that a change has set, with the values before it."""
    names = {"tags" if name.endswith("_tags") else name for name in fields}
    if "repository" in names:
        names.add("issue")  # a task that moves loses its issue
    return {name: before[name] for name in FIELDS if name in names}
