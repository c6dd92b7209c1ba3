"""Exit codes, and the failures that lead to them; every verb ends through these."""

from __future__ import annotations

import re
from contextlib import suppress
from datetime import datetime, timedelta
from enum import IntEnum
from typing import IO, TYPE_CHECKING, Any

import click

from ..tasks.phrases import visible

if TYPE_CHECKING:
    from .response import Response


class Exit(IntEnum):
    """What an exit code says; 2 is click's own for wrong usage."""

    DONE = 0
    REFUSED = 1
    USAGE = 2
    CHANGED = 3
    TOKEN = 4
    LATER = 5
    INTERRUPTED = 130


FATAL = {Exit.TOKEN, Exit.LATER}  # the next task would fail in the same way
CODES = {401: Exit.TOKEN, 412: Exit.CHANGED, 503: Exit.LATER, 504: Exit.LATER}


class Failure(click.ClickException):
    """An expected failure: one line for people, and an exit code for programs."""

    def __init__(self, message: str, code: Exit = Exit.REFUSED) -> None:
        super().__init__(message)
        self.text = message  # to which a verb may add what it is about
        self.exit_code = code  # type: ignore[misc]  # click has one for each class

    def show(self, file: IO[Any] | None = None) -> None:
        """Print the message on standard error."""
        with suppress(OSError):  # it can't be written; the verb goes on
            click.echo(f"error: {visible(self.text)}", err=True)


class Refused(Failure):
    """A response of the service that is no success."""

    def __init__(self, response: Response) -> None:
        self.response = response
        super().__init__(explain(response), CODES.get(response.status, Exit.REFUSED))

    @property
    def reason(self) -> str:
        """The service's word for the failure, or an empty text."""
        return str(problem(self.response).get("reason", ""))


def problem(response: Response) -> dict[str, Any]:
    """Return the body of an error, which a proxy's is not."""
    try:
        body = response.json()
    except Failure:
        body = None
    return body if isinstance(body, dict) else {}


def explain(response: Response) -> str:
    """Return the service's message with the invalid fields, and when to try again."""
    body = problem(response)
    message = f"unusable response with status {response.status}"
    if 300 <= response.status < 400:
        message += ": redirects are not followed; check TRACKER_URL"
    message = str(body.get("message") or message)
    if fields := list(field_errors(body.get("errors"))):
        message = "; ".join(fields)
    if response.status == 401:
        message += " Set TRACKER_TOKEN."
    if response.status == 503 and (seconds := retry_after(response)) > 0:
        message = re.sub(r"(; try again( later)?)?[.]$", "", message)
        message += f"; try again {later(seconds)}."
    return message


def field_errors(errors: Any) -> list[str]:
    """Return the messages of a response by field, such as `title: Length must be ...`."""
    found = []
    for fields in errors.values() if isinstance(errors, dict) else ():
        for name, messages in fields.items() if isinstance(fields, dict) else ():
            texts = messages if isinstance(messages, list) else [str(messages)]
            found.append(f"{name}: {' '.join(map(str, texts))}")
    return found


def retry_after(response: Response) -> int:
    """Return the seconds in Retry-After, or 0."""
    text = response.headers.get("retry-after", "")
    return int(text) if text.isdecimal() else 0


def later(seconds: int) -> str:
    """Return when so many seconds have passed, such as `in 5 s` or `at 14:05`."""
    if seconds < 60:
        return f"in {seconds} s"
    return f"at {datetime.now() + timedelta(seconds=seconds + 59):%H:%M}"


class Failures:
    """Failures of some tasks, which do not keep the verb from doing the others."""

    def __init__(self) -> None:
        self.code = Exit.DONE
        self._some_done = False

    def of(self, what: str) -> Failures:
        """Return a block whose failure is printed with what it is about."""
        self._what = what
        return self

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, _: Any) -> bool:
        if not isinstance(error, Failure):
            self._some_done |= error is None
            return False
        if self._what:
            error.text = f"{self._what}: {error.text}"
        if error.exit_code in FATAL or not self._what:
            return False
        error.show()
        self.code = Exit(error.exit_code) if self.code in {0, error.exit_code} else Exit.REFUSED
        return True

    def end(self) -> None:
        """Exit with the failures' code, or with 1 if they have several or some tasks are done."""
        if self.code:
            code = Exit.REFUSED if self._some_done else self.code
            click.get_current_context().exit(code)
