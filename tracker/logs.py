"""Logging: one line per request and per failure, as text or JSON, with the request's ID."""

import json
import logging
import random
import re
import traceback
from contextvars import ContextVar
from datetime import datetime, timezone
from typing import Any

import gunicorn.glogging
from flask import Flask, has_request_context, request

from tracker.config import Settings

REQUEST_ID = "X-Request-ID"
ENVIRON_KEY = "tracker.request_id"
# The ID of a request that gunicorn refuses before Flask has a context for it
refused_request_id: ContextVar[str | None] = ContextVar("refused_request_id", default=None)
VALID_ID = re.compile(r"[\w.:-]{1,64}", re.ASCII)
# gunicorn's atoms. The URI is the raw one: a decoded one could contain a line break.
ACCESS_FORMAT = '%(h)s "%(m)s %({raw_uri}e)s" %(s)s %(B)sB %(D)sus request_id=%({x-request-id}o)s'


def configuration(settings: Settings) -> dict[str, Any]:
    """Return the `logging.config.dictConfig` for the settings, with gunicorn's loggers."""
    level = settings.log_level.upper()
    formatter = JSONFormatter if settings.log_format == "json" else TextFormatter
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {"line": {"()": formatter}},
        "filters": {"request_id": {"()": RequestIdFilter}},
        "handlers": {
            "stdout": _handler("ext://sys.stdout"),
            "stderr": _handler("ext://sys.stderr"),
        },
        "root": {"level": "WARNING", "handlers": ["stderr"]},
        "loggers": {
            "tracker": {"level": level},
            "gunicorn.error": {"level": level, "handlers": ["stderr"], "propagate": False},
            "gunicorn.access": {"level": level, "handlers": ["stdout"], "propagate": False},
        },
    }


def _handler(stream: str) -> dict[str, Any]:
    return {
        "class": "logging.StreamHandler",
        "stream": stream,
        "formatter": "line",
        "filters": ["request_id"],
    }


def init_app(app: Flask) -> None:
    """Assign an ID to each request, and return it in each response."""
    app.wsgi_app = RequestIds(app.wsgi_app)  # type: ignore[method-assign]


class RequestIds:
    """WSGI middleware that takes a valid X-Request-ID from the client, or assigns one."""

    def __init__(self, wsgi_app: Any) -> None:
        self._wsgi_app = wsgi_app

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Call the application."""
        given = environ.get("HTTP_X_REQUEST_ID", "")
        # Unique, but no secret: random needs no system call.
        request_id = given if VALID_ID.fullmatch(given) else f"{random.getrandbits(128):032x}"
        environ[ENVIRON_KEY] = request_id

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            headers.append((REQUEST_ID, request_id))
            return start_response(status, headers, *exc_info)

        return self._wsgi_app(environ, start)


class GunicornLogger(gunicorn.glogging.Logger):
    """gunicorn's logger; it formats no access line that LOG_LEVEL discards."""

    def access(self, resp: Any, *args: Any) -> None:
        """Log a request."""
        if self.access_log.isEnabledFor(logging.INFO):
            if request_id := refused_request_id.get():
                resp.headers.append((REQUEST_ID, request_id))
            super().access(resp, *args)


class RequestIdFilter(logging.Filter):
    """Adds the ID of the current request to each record."""

    def filter(self, record: logging.LogRecord) -> bool:
        if has_request_context():
            record.request_id = request.environ.get(ENVIRON_KEY)
        elif record.name == "gunicorn.access":  # its lines have the ID of the response
            record.request_id = None
        else:
            record.request_id = refused_request_id.get()
        return True


class TextFormatter(logging.Formatter):
    """`2030-01-31T09:30:00.123Z ERROR tracker.errors: what happened request_id=…`."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_timestamp(record)} {record.levelname} {record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1]:
            line += f": {_trace(record.exc_info[1])}"
        if request_id := getattr(record, "request_id", None):
            line += f" request_id={request_id}"
        return _one_line(line)


class JSONFormatter(logging.Formatter):
    """One JSON object per line; the parts of an access line are members of their own."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _timestamp(record),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := getattr(record, "request_id", None):
            entry["request_id"] = request_id
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        if record.name == "gunicorn.access" and isinstance(record.args, dict):
            atoms = record.args
            entry |= {
                "message": "request",
                "remote": atoms["h"],
                "method": atoms["m"],
                "uri": atoms["{raw_uri}e"],
                "status": int(atoms["s"]),
                "bytes": atoms["B"],
                "microseconds": atoms["D"],
                "request_id": atoms["{x-request-id}o"],
            }
        return json.dumps(entry)


def _timestamp(record: logging.LogRecord) -> str:
    time = datetime.fromtimestamp(record.created, timezone.utc)
    return f"{time:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z"


def _trace(error: BaseException) -> str:
    """Return an exception and its stack frames, innermost first, as one line."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    places = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__}: {error} ({places})"


def _one_line(text: str) -> str:
    # A message must not look like a second line, or move a terminal's cursor.
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], text)
