"""One line for each request and each failure, as text or JSON, under the request's ID."""

import json
import logging
import random
import re
import traceback
from datetime import datetime, timezone
from typing import Any

from flask import Flask, has_request_context, request

from tracker.config import Settings

REQUEST_ID = "X-Request-ID"
_ENVIRON_KEY = "tracker.request_id"
_SOUND = re.compile(r"[\w.:-]{1,64}", re.ASCII)
# gunicorn's atoms; the URI as it was sent, so that no decoded line break gets in.
ACCESS_FORMAT = '%(h)s "%(m)s %({raw_uri}e)s" %(s)s %(B)sB %(D)sus request_id=%({x-request-id}o)s'


def configuration(settings: Settings) -> dict[str, Any]:
    """Give the `logging.config.dictConfig` for the settings, gunicorn's loggers included."""
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
    """Give each request an ID, its own if it brings a sound one, and each answer the same."""
    app.wsgi_app = _labelled(app.wsgi_app)  # type: ignore[method-assign]


def _labelled(wsgi_app: Any) -> Any:
    def labelled(environ: dict[str, Any], start_response: Any) -> Any:
        brought = environ.get("HTTP_X_REQUEST_ID", "")
        sound = _SOUND.fullmatch(brought)
        # It has to be another each time, and no secret: that takes no call of the system.
        request_id = brought if sound else f"{random.getrandbits(128):032x}"
        environ[_ENVIRON_KEY] = request_id

        def start(status: str, headers: list[tuple[str, str]], *exc_info: Any) -> Any:
            headers.append((REQUEST_ID, request_id))
            return start_response(status, headers, *exc_info)

        return wsgi_app(environ, start)

    return labelled


class RequestIdFilter(logging.Filter):
    """Adds the request's ID to what is logged while it is handled."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.request_id = request.environ.get(_ENVIRON_KEY) if has_request_context() else None
        return True


class TextFormatter(logging.Formatter):
    """`2030-01-31T09:30:00.123Z ERROR tracker.errors: what happened request_id=…`."""

    def format(self, record: logging.LogRecord) -> str:
        line = f"{_moment(record)} {record.levelname} {record.name}: {record.getMessage()}"
        if record.exc_info and record.exc_info[1]:
            line += f": {_trace(record.exc_info[1])}"
        if request_id := getattr(record, "request_id", None):
            line += f" request_id={request_id}"
        return _one_line(line)


class JSONFormatter(logging.Formatter):
    """One JSON object; an access line's numbers are members of their own."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, Any] = {
            "time": _moment(record),
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


def _moment(record: logging.LogRecord) -> str:
    moment = datetime.fromtimestamp(record.created, timezone.utc)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{int(record.msecs):03}Z"


def _trace(error: BaseException) -> str:
    """Tell an exception and the frames it came through, innermost first."""
    frames = reversed(traceback.extract_tb(error.__traceback__))
    places = " < ".join(f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames)
    return f"{type(error).__name__}: {error} ({places})"


def _one_line(text: str) -> str:
    # Whatever a message holds, it can't pretend to be a second line, or move a terminal's cursor.
    return re.sub(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]", lambda found: repr(found[0])[1:-1], text)
