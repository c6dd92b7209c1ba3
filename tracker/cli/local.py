"""The application in this process, for verbs that find no service."""

from __future__ import annotations

import io
import logging.config
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import IO

from peewee import PeeweeException
from werkzeug.test import EnvironBuilder, run_wsgi_app

from .. import create_app, logs
from ..config import Settings
from ..database import migrations
from ..database.connection import connection, connection_parameters, database
from ..database.errors import explain
from ..errors import EmbeddedPostgresError, TrackerError
from ..postgres import server as embedded
from .failures import Exit, Failure
from .response import Response


class Application:
    """The WSGI application, with the embedded PostgreSQL started for it."""

    parallel = 1

    def __init__(self, settings: Settings) -> None:
        # A response has the reason of a failure; the log would repeat it.
        logging.config.dictConfig(logs.configuration(replace(settings, log_level="error")))
        logging.getLogger("tracker").setLevel(logging.CRITICAL)
        self._resources = ExitStack()
        folder = settings.embedded_folder
        try:
            self._resources.enter_context(embedded.running(folder))
            if folder:
                migrations.upgrade(settings)
            self._app = create_app(settings)
            with connection():  # a response would not name the cause of a failure
                pass
        except (EmbeddedPostgresError, TrackerError, PeeweeException) as error:
            self._resources.close()
            cause = explain(error, connection_parameters(settings))
            raise Failure(cause, Exit.LATER) from None
        self._address = f"http://localhost:{settings.port}"

    def send(
        self, method: str, target: str, body: bytes | IO[bytes] | None, headers: dict[str, str]
    ) -> Response:
        """Call the application."""
        sent = list(headers.items())
        environ = EnvironBuilder(target, self._address, method=method, headers=sent).get_environ()
        if isinstance(body, bytes):
            environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
        elif body is not None:
            environ |= {"wsgi.input": body, "CONTENT_LENGTH": headers.get("Content-Length", "")}
            environ["wsgi.input_terminated"] = True  # the end of a body without a length is its end
        chunks, status, found = run_wsgi_app(self._app.wsgi_app, environ)
        return Response(int(status.split()[0]), list(found.items()), Chunks(iter(chunks)))

    def close(self) -> None:
        """Close the connections, and stop the database if no other process uses it."""
        database.close_idle()
        self._resources.close()


class Chunks:
    """The parts of a body as a file."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks

    def read(self, size: int) -> bytes:
        """Return the next part, of any size; empty at the end."""
        return next((chunk for chunk in self._chunks if chunk), b"")
