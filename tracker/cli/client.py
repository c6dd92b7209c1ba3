"""Client of the HTTP API: over a connection, or of the application in this process.

Only the standard library is imported: `requests` alone takes longer than a whole `list`.
"""

from __future__ import annotations

import json as jsonlib
import os
import select
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from threading import local
from typing import IO, Any, Protocol
from urllib.parse import urlencode, urlsplit

from .failures import Exit, Failure, Refused
from .response import Response, next_cursor, reason

TIMEOUT = 60.0  # seconds without a byte; the service gives GitHub less
JSON = {"Accept": "application/json"}
ENCODING = sys.getfilesystemencoding().upper()
NOT_TEXT = f"the text is not valid {ENCODING}; convert it with iconv, or set LC_ALL to its locale"


class Transport(Protocol):
    """A way to the service."""

    def send(
        self, method: str, target: str, body: bytes | IO[bytes] | None, headers: dict[str, str]
    ) -> Response:
        """Send a request and return its response."""

    parallel: int  # requests at a time, each in a thread

    def close(self) -> None:
        """Release what is held."""


class Connection:
    """HTTP over one kept connection for each thread."""

    parallel = 4

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        kind = HTTPSConnection if parts.scheme == "https" else HTTPConnection
        self._url = url.rstrip("/")
        self._prefix = parts.path.rstrip("/")
        self._new = partial(kind, parts.hostname or "", parts.port, timeout=TIMEOUT)
        self._new()  # which raises for an invalid host
        self._kept = local()
        self._all: list[HTTPConnection] = []

    def send(
        self, method: str, target: str, body: bytes | IO[bytes] | None, headers: dict[str, str]
    ) -> Response:
        """Send a request; once more where a kept connection turns out to be closed.

        Only a request that may be repeated is: a read, or one that has its key.
        """
        connection = self._thread_connection()
        if connection.sock and select.select([connection.sock], [], [], 0)[0]:
            # Input without a request is the end of an idle connection, or follows a broken one.
            connection.close()
        reused = connection.sock is not None
        repeatable = method == "GET" or "Idempotency-Key" in headers
        try:
            with suppress(BrokenPipeError, ConnectionResetError):  # the response says why
                connection.request(method, self._prefix + target, body, headers)
            response = connection.getresponse()
        except UnicodeError:
            raise Failure(f"{self._url} is not a valid URL", Exit.USAGE) from None
        except (OSError, HTTPException) as error:
            connection.close()
            if reused and repeatable and not hasattr(body, "read"):
                return self.send(method, target, body, headers)
            raise Failure(f"{self._url} can't be reached: {reason(error)}", Exit.LATER) from None
        return Response(response.status, response.getheaders(), response)

    def _thread_connection(self) -> HTTPConnection:
        if not hasattr(self._kept, "connection"):
            self._kept.connection = self._new()
            self._all.append(self._kept.connection)
        connection: HTTPConnection = self._kept.connection
        return connection

    def close(self) -> None:
        """Close the connections."""
        for connection in self._all:
            connection.close()


class Client:
    """The API's operations, with JSON in and out."""

    def __init__(self, transport: Transport, token: str | None, place: str) -> None:
        self.transport = transport
        self.place = place  # whose tasks they are, for the journal
        self._headers = {**JSON, "User-Agent": "github-task-tracker-cli"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"

    def send(
        self,
        method: str,
        path: str,
        query: Mapping[str, Any] | None = None,
        json: Any = None,
        body: IO[bytes] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """Send a request, and return a response that is a success.

        Raises:
            Refused: it is none.
            Failure: there is no response.
        """
        sent = {**self._headers, **(headers or {})}
        content: bytes | IO[bytes] | None = body
        try:
            target = f"{path}?{urlencode(query, doseq=True)}" if query else path
            if json is not None:
                content = jsonlib.dumps(json, ensure_ascii=False).encode()
                sent["Content-Type"] = "application/json"
        except UnicodeEncodeError:  # bytes that Python could not decode
            raise Failure(NOT_TEXT, Exit.USAGE) from None
        response = self.transport.send(method, target, content, sent)
        if not 200 <= response.status < 300:
            raise Refused(response)
        return response

    def get(self, path: str, query: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the object that a GET responds."""
        return self.send("GET", path, query).object()

    def pages(self, path: str, query: Mapping[str, Any], limit: int | None) -> Iterator[Response]:
        """Return the pages of a list, with the objects of `limit` at most; None for all."""
        sent = dict(query)
        left = limit
        while left is None or left > 0:
            page = self.send("GET", path, {**sent, "limit": min(100, left or 100)})
            yield page
            if left is not None:
                left -= min(100, left)
            cursor = next_cursor(page)
            if cursor is None:
                return
            sent = {**query, "cursor": cursor}
            sent.pop("total", None)

    def every(
        self, path: str, query: Mapping[str, Any], limit: int | None = None
    ) -> Iterator[dict[str, Any]]:
        """Return the objects of a list, all pages of it."""
        for page in self.pages(path, query, limit):
            yield from page.objects()

    def task(self, task_id: int) -> dict[str, Any]:
        """Return a task."""
        return self.get(f"/tasks/{task_id}")

    def create(self, fields: dict[str, Any], key: str = "", **query: str) -> dict[str, Any]:
        """Create a task, once even where the request is repeated."""
        headers = {"Idempotency-Key": key or os.urandom(16).hex()}
        return self.send("POST", "/tasks", query, fields, None, headers).object()

    def change(self, task: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        """Change a task, unless it is no longer the version that was read."""
        path = f"/tasks/{task['id']}"
        return self.send("PATCH", path, json=fields, headers=if_match(task)).object()

    def delete(self, task: dict[str, Any]) -> None:
        """Delete a task, unless it is no longer the version that was read."""
        self.send("DELETE", f"/tasks/{task['id']}", headers=if_match(task)).read()


def if_match(task: dict[str, Any]) -> dict[str, str]:
    """Return the header with which a request is about this version of a task alone."""
    return {"If-Match": f'"{task["version"]}"'}
