"""A task as a text for an editor: a line for each field, a blank line, the description."""

from __future__ import annotations

from datetime import date
from typing import Any

from ..tasks.dates import parse_when

NAMES = ("title", "status", "priority", "tag", "due_date", "repository", "issue")
MARK = "# NOT SAVED: "
HELP = """\
# Change the fields, or the description below the blank line. Each `tag:` line is a tag.
# due_date: a date, today, fri, +3d, none. Lines that start with # are ignored up to there.
"""


def write_draft(task: dict[str, Any]) -> str:
    """Return the text of a task."""
    lines = []
    for name in NAMES:
        values = (task["tags"] or [""]) if name == "tag" else [task[name]]
        lines += [f"{name}: {'' if value is None else value}".rstrip() for value in values]
    description = f"{task['description']}\n" if task["description"] else ""
    return HELP + "\n".join(lines) + "\n\n" + description


def read_draft(text: str) -> dict[str, Any]:
    """Return the fields in a text.

    Raises:
        ValueError: a line can't be read; the message says which.
    """
    head, _, description = text.replace("\r\n", "\n").lstrip("\n").partition("\n\n")
    fields: dict[str, Any] = {"tags": []}
    for line in head.splitlines():
        if line.startswith("#"):
            continue
        name, colon, value = (part.strip() for part in line.partition(":"))
        if not colon or name not in NAMES:
            raise ValueError(f"{line!r} is no field; a blank line starts the description")
        if name == "tag":
            fields["tags"] += [value] if value else []
        elif name in fields:
            raise ValueError(f"{name} is there twice")
        else:
            fields[name] = _value(name, value)
    missing = [name for name in NAMES if name not in fields and name != "tag"]
    if missing:
        raise ValueError(f"{missing[0]} is missing")
    return fields | {"description": description.rstrip() or None}


def _value(name: str, value: str) -> Any:
    if name == "issue" and value:
        if not value.lstrip("#").isdecimal():
            raise ValueError(f"issue takes a number, not {value!r}")
        return int(value.lstrip("#"))
    if name == "due_date" and value:
        day = parse_when(value, date.today())
        return day.isoformat() if day else None
    return value or (None if name in {"issue", "due_date"} else "")


def add_error(text: str, message: str) -> str:
    """Return the text with the failure as its first line, in place of an earlier one."""
    return "\n".join([MARK + " ".join(message.split()), *lines_without_error(text)]) + "\n"


def lines_without_error(text: str) -> list[str]:
    """Return the lines of a text, without that of an earlier failure."""
    return [line for line in text.splitlines() if not line.startswith(MARK)]
