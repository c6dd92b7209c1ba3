"""Journal of the writing commands, for `undo`: a file for each, which only this account reads."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from .failures import Failure, Refused

KEPT = 20  # commands that can be undone
UNKNOWN = 500  # from this status on, the service may have done what was asked
Entry = dict[str, Any]


def folder() -> Path:
    """Return the folder of the journal, created with mode 0700.

    Raises:
        OSError: it can't be created, or belongs to another account.
    """
    state = os.environ.get("XDG_STATE_HOME", "")
    base = Path(state) if Path(state).is_absolute() else Path.home() / ".local" / "state"
    path = base / "github-task-tracker"
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if path.stat().st_uid != os.geteuid():  # its owner could change what `undo` does
        raise PermissionError(f"{path} belongs to another account")
    return path


class Journal:
    """What one command changes; a line is on the disk before its request is sent.

    An entry has `id`, `created_at` and `version`, which the task has after the command; `before`,
    the task as it was (None: it is new); and `fields`, which the command sets (None: it deletes
    the task). A later line with `dropped` takes it back: the service has not changed the task.
    """

    def __init__(self, url: str, command: str) -> None:
        self._head = {"url": url, "command": command}
        self._file: IO[str] | None = None
        self._path: Path | None = None
        self._standing: set[int] = set()  # ids; a journal of none is removed

    def __enter__(self) -> Journal:
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
        if self._path and not self._standing:
            self._path.unlink(missing_ok=True)

    def changing(self, task: Entry, fields: Entry | None) -> None:
        """Record a change or deletion that is about to happen, unless it would change nothing."""
        if fields is not None and not alters(task, fields):
            return
        self._standing.add(task["id"])
        self._write(_after(task, task["version"] + 1) | {"before": task, "fields": fields})

    def drop(self, *tasks: Entry) -> None:
        """Record that these tasks are not changed after all."""
        for number in [task["id"] for task in tasks if task["id"] in self._standing]:
            self._write({"id": number, "dropped": True})
            self._standing.remove(number)

    @contextmanager
    def sending(self, *tasks: Entry) -> Iterator[None]:
        """Drop the entries of a change that the service refuses; keep them after other failures."""
        try:
            yield
        except Refused as error:
            if error.response.status < UNKNOWN:
                self.drop(*tasks)
            raise

    def created(self, task: Entry) -> None:
        """Record a new task."""
        self._standing.add(task["id"])
        self._write(_after(task, task["version"]) | {"before": None})

    def _write(self, entry: Entry) -> None:
        try:
            if self._file is None:
                self._path, self._file = _new_file()
                self._file.write(json.dumps(self._head) + "\n")
            self._file.write(json.dumps(entry) + "\n")
            self._file.flush()
        except OSError as error:
            message = f"the journal for undo can't be written: {error}; set XDG_STATE_HOME"
            raise Failure(message) from None


def _after(task: Entry, version: int) -> Entry:
    return {"id": task["id"], "created_at": task["created_at"], "version": version}


def alters(task: Entry, fields: Entry) -> bool:
    """Return whether these fields, of a change of one task or of many, are not there already."""
    added, removed = fields.get("add_tags", ()), fields.get("remove_tags", ())
    gone = {tag.lower() for tag in removed}
    kept = [tag for tag in task["tags"] if tag.lower() not in gone]
    keys = {tag.lower() for tag in kept}
    tags = [*kept, *(tag for tag in added if tag.lower() not in keys)]
    plain = {name: value for name, value in fields.items() if not name.endswith("_tags")}
    return tags != task["tags"] or not plain.items() <= task.items()


def restored(path: Path, left: list[Entry], tasks: list[tuple[Entry, Entry]]) -> None:
    """Remove a command that is undone, but for the entries that are left.

    Earlier commands learn which version is as before again.
    """
    if left:
        _rewrite(path, next(_lines(path)), left)
    else:
        path.unlink(missing_ok=True)
    now = {
        (before["id"], before["version"]): _after(task, task["version"]) for before, task in tasks
    }
    for earlier in folder().glob("*.jsonl") if now else ():
        head, entries = _read(earlier)
        moved = [entry | now.get((entry["id"], entry["version"]), {}) for entry in entries]
        if moved != entries:
            _rewrite(earlier, head, moved)


def _rewrite(path: Path, head: Entry, entries: list[Entry]) -> None:
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.writelines(json.dumps(line) + "\n" for line in (head, *entries))
    new.replace(path)


def _new_file() -> tuple[Path, IO[str]]:
    home = folder()
    for path in sorted(home.glob("*.jsonl"))[: -KEPT + 1]:
        path.unlink(missing_ok=True)
    path = home / f"{time.time_ns():020}.jsonl"
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    return path, os.fdopen(descriptor, "w", encoding="utf-8")


def last(url: str) -> tuple[Path, str, list[Entry]] | None:
    """Return the newest command on this service: its file, its words and its entries."""
    try:
        paths = sorted(folder().glob("*.jsonl"), reverse=True)
        for path in paths:
            head, entries = _read(path)
            if head["url"] == url and entries:
                return path, head["command"], entries
    except (OSError, ValueError) as error:
        raise Failure(f"the journal can't be read: {error}; set XDG_STATE_HOME") from None
    return None


def _read(path: Path) -> tuple[Entry, list[Entry]]:
    """Return the head, and the last entry of each task unless it is dropped."""
    head, *lines = list(_lines(path)) or [{"url": None}]
    found: dict[int, Entry] = {}
    for line in lines:
        found.pop(line["id"], None)
        if "dropped" not in line:
            found[line["id"]] = line
    return head, list(found.values())


def _lines(path: Path) -> Iterator[Entry]:
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            yield json.loads(line)
        except ValueError:
            return  # the command was killed in the middle of this line
