"""Tasks as other programs write them, as the fields of ours; the input schema checks the values."""

import re
from collections.abc import Callable
from typing import Any

from ..github.names import parse_repository

Fields = dict[str, Any]

_PRIORITIES = {"H": "high", "L": "low"}  # of taskwarrior
_DUE = re.compile(r"([0-9]{4})([0-9]{2})([0-9]{2})T[0-9]{6}Z")


def from_starred(item: Fields) -> Fields:
    """Return the task for a repository of GitHub's REST API, such as of `GET /user/starred`.

    The media type `application/vnd.github.star+json` has it in `repo`, beside `starred_at`.
    """
    repository = item.get("repo")
    repository = repository if isinstance(repository, dict) else item
    name = repository.get("full_name")
    return {"title": name, "repository": repository.get("html_url") or name}


def from_gh(item: Fields) -> Fields:
    """Return the task for a repository of `gh repo list --json nameWithOwner,url`."""
    name = item.get("nameWithOwner")
    return {"title": name, "repository": item.get("url") or name}


def from_taskwarrior(item: Fields) -> Fields | None:
    """Return the task for one of `task export`; None for a deleted one.

    `githubrepo` and `githubnumber` are those of bugwarrior. A due date is its day in UTC.
    """
    if item.get("status") == "deleted":
        return None
    number, due, notes = item.get("githubnumber"), item.get("due"), item.get("annotations")
    notes = notes if isinstance(notes, list) else []
    if isinstance(number, float) and number.is_integer():
        number = int(number)
    if day := _DUE.fullmatch(str(due)):
        due = "-".join(day.groups())
    texts = [note.get("description") for note in notes if isinstance(note, dict)]
    started = "in_progress" if "start" in item else "open"
    fields = {
        "title": item.get("description"),
        "description": "\n".join(map(str, texts)) or None,
        "status": "done" if item.get("status") == "completed" else started,
        "priority": _PRIORITIES.get(str(item.get("priority")), "normal"),
        "tags": item.get("tags", []),
        "due_date": due,
        "repository": item.get("githubrepo") or item.get("project"),
    }
    return fields if number is None else {**fields, "issue": number}  # the project may have one


def find_converter(item: Fields) -> Callable[[Fields], Fields | None]:
    """Return the function that reads objects such as this one."""
    if "nameWithOwner" in item:
        return from_gh
    if "full_name" in item or ("repo" in item and "starred_at" in item):
        return from_starred
    if "uuid" in item and "entry" in item:
        return from_taskwarrior
    return dict


def from_line(text: str, host: str) -> Fields:
    """Return the task for a line: a repository in any usual way, and perhaps a title."""
    try:
        return {"title": parse_repository(text, host).name, "repository": text}
    except ValueError:
        repository, *rest = text.split(maxsplit=1)
        title = "".join(rest).lstrip("-\u2013\u2014: ")
        return {"title": title or repository, "repository": repository}
