"""Responses of the service, whose JSON is checked: any server may be at TRACKER_URL."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from typing import Any, Protocol
from urllib.parse import parse_qs, urlsplit

from .failures import Exit, Failure

CHUNK = 64 * 1024  # bytes


def unusable(what: str) -> Failure:
    """Return the failure of a response that is not this API's."""
    return Failure(f"unusable response: {what}; check TRACKER_URL")


class Object(dict[str, Any]):
    """A JSON object, in which a missing field is a failure of the response."""

    def __missing__(self, name: str) -> Any:
        raise unusable(f"it has no {name}")


class Body(Protocol):
    """A body that arrives in parts."""

    def read(self, size: int) -> bytes:
        """Return the next part; empty at the end."""


class Response:
    """A response; its body is read when it is wanted."""

    def __init__(self, status: int, headers: Iterable[tuple[str, str]], raw: Body) -> None:
        self.status = status
        self.headers = {name.lower(): value for name, value in headers}
        self._raw = raw
        self._body: bytes | None = None

    def json(self) -> Any:
        """Return the body as JSON.

        Raises:
            Failure: it is none.
        """
        try:
            return json.loads(self.read(), object_hook=Object)
        except (ValueError, RecursionError):
            raise unusable("it is no JSON") from None

    def object(self) -> dict[str, Any]:
        """Return the body as a JSON object.

        Raises:
            Failure: it is none.
        """
        found = self.json()
        if not isinstance(found, dict):
            raise unusable("it is no JSON object")
        return found

    def objects(self) -> list[dict[str, Any]]:
        """Return the body as an array of JSON objects.

        Raises:
            Failure: it is none.
        """
        found = self.json()
        if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
            raise unusable("it is no list of JSON objects")
        return found

    def read(self) -> bytes:
        """Return the whole body, any number of times."""
        if self._body is None:
            self._body = b"".join(self.chunks())
        return self._body

    def chunks(self) -> Iterator[bytes]:
        """Return the parts of the body as they arrive."""
        length = self.headers.get("content-length", "")
        left = int(length) if length.isdecimal() else 0
        try:
            while chunk := self._raw.read(CHUNK):
                left -= len(chunk)
                yield chunk
        except (OSError, HTTPException) as error:
            raise Failure(f"connection lost: {reason(error)}", Exit.LATER) from None
        if left > 0:
            raise Failure("connection lost: the response is cut short", Exit.LATER)


def next_cursor(page: Response) -> str | None:
    """Return the cursor of the next page, from the page's Link.

    Raises:
        Failure: the link has none.
    """
    for link in page.headers.get("link", "").split(", <"):
        url, _, parameters = link.strip("<").partition(">")
        if 'rel="next"' in parameters:
            cursors = parse_qs(urlsplit(url).query).get("cursor")
            if not cursors:
                raise unusable("its next page has no cursor")
            return cursors[0]
    return None


def reason(error: BaseException) -> str:
    """Return why a connection failed, in a few words."""
    return getattr(error, "strerror", None) or str(error) or "the connection was closed"
