"""Forms: the typed line and a task's fields, read by the API's schemas."""

import re
from http import HTTPStatus
from itertools import chain
from typing import Any
from urllib.parse import urlsplit

from flask import current_app, request, url_for
from marshmallow import Schema, ValidationError

from ..api.schemas import TaskInputSchema
from ..errors import TrackerError
from ..github.names import parse_repository
from ..tasks.tokens import read_tokens
from .queries import today

LINE_MAX = 16_000  # characters; the longest title, tags and URL take less
_COMMAND = re.compile(r"(git\s+clone|gh\s+repo\s+clone)\s+", re.IGNORECASE)


class Refusal(TrackerError):
    """A form is invalid: the API's messages by field."""

    status = HTTPStatus.UNPROCESSABLE_ENTITY
    reason = "invalid"

    def __init__(self, errors: dict[str, list[str]], message: str = "") -> None:
        listed = "; ".join(f"{name}: {' '.join(texts)}" for name, texts in errors.items())
        super().__init__(message or listed)
        self._errors = errors

    @property
    def errors(self) -> dict[str, Any] | None:
        return {"form": self._errors} if self._errors else None


def read_line(line: str) -> dict[str, Any]:
    """Return a task's fields, as the API takes them, from a typed line.

    The line's first word is the repository, the others are the title with its tokens. Without a
    title, that is the repository's name.

    Raises:
        Refusal: a token is invalid, or the first word names no repository.
    """
    line = line[:LINE_MAX].strip()
    if command := _COMMAND.match(line):
        line = line[command.end() :]
    words = line.split()
    if not words:
        raise Refusal({"repository": ["Start with a repository, as owner/name or a URL of it."]})
    try:
        reference = parse_repository(words[0], current_app.config["GITHUB_WEB_HOST"])
    except ValueError as error:
        raise Refusal({"repository": [str(error)]}) from None
    try:
        typed = read_tokens(words[1:], today())
    except ValueError as error:
        raise Refusal({"due_date": [str(error)]}) from None
    number = "" if reference.issue is None else f"#{reference.issue}"
    return {"title": typed.title or reference.name + number, "repository": words[0], **typed.fields}


def read_fields() -> dict[str, Any]:
    """Return a task's fields, as the API takes them, from the form of a whole task."""
    form = request.form
    tags = [tag.strip() for tag in form.get("tags", "").splitlines()]
    issue: str | int | None = form.get("issue", "").strip().removeprefix("#") or None
    if issue and re.fullmatch("[0-9]{1,18}", str(issue)):
        issue = int(issue)
    return {
        "title": form.get("title", ""),
        "description": form.get("description", "").replace("\r\n", "\n") or None,
        "status": form.get("status", ""),
        "priority": form.get("priority", ""),
        "tags": [tag for tag in tags if tag],
        "due_date": form.get("due_date", "").strip() or None,
        "repository": form.get("repository", ""),
        "issue": issue,
    }


def load(fields: dict[str, Any], schema: Schema | None = None) -> dict[str, Any]:
    """Return the fields, of a task or of another schema, as the service takes them.

    Raises:
        Refusal: a field is invalid.
    """
    try:
        loaded: dict[str, Any] = (schema or TaskInputSchema()).load(fields)
    except ValidationError as error:
        raise Refusal(flat(error.messages_dict)) from None
    return loaded


def flat(messages: dict[Any, Any]) -> dict[str, list[str]]:
    """Return the messages by field, those of a list's elements together."""
    found: dict[str, list[str]] = {}
    for name, value in messages.items():
        texts = value if isinstance(value, list) else [*chain(*flat(value).values())]
        found[str(name)] = list(dict.fromkeys(map(str, texts)))
    return found


def read_version(text: str) -> tuple[int, int]:
    """Return the id and the version in `7.3`, the value of a row's button.

    Raises:
        Refusal: it is none.
    """
    if not (match := re.fullmatch(r"([1-9][0-9]{0,17})\.([1-9][0-9]{0,17})", text)):
        raise Refusal({}, "The form names no task; load the page again.")
    return int(match[1]), int(match[2])


def local_path(text: str | None) -> str:
    r"""Return the text if it is a path of this service, or else the path of the list.

    Browsers read `//host` and `/\host` as another site.
    """
    text = text or ""
    start = f"{request.script_root}/"
    try:
        url = urlsplit(text)
        local = not url.scheme and not url.netloc
    except ValueError:
        local = False
    sound = re.fullmatch(r"/(?![/\\])[!-~]*", text) and "\\" not in text
    if not (local and sound and text.startswith(start)):
        return url_for("web.list_page")
    return text
