"""View that exports tasks as a file."""

import logging
import socket
import struct
from collections.abc import Callable, Iterator
from datetime import datetime, timezone
from errno import ECONNRESET
from itertools import chain
from typing import Any, NamedTuple

from flask import Response, current_app, request, stream_with_context
from marshmallow import fields, post_load, validate

from ..causes import describe
from ..errors import TrackerError
from ..tasks.export import export_batches
from ..tasks.spreadsheet import COLUMNS, to_row, write_rows
from .examples import CSV_EXAMPLE, JSONL_EXAMPLE
from .failures import DATABASE, REQUEST, errors
from .fields import doc
from .filters import FilterSchema, parse_filters
from .parsing import Blueprint

logger = logging.getLogger(__name__)

export = Blueprint("export", __name__, url_prefix="/tasks", description="Tasks as a file")


class Format(NamedTuple):
    """A format of the file: its media type, its beginning, and how tasks are written."""

    media_type: str
    head: str
    write: Callable[[list[str]], str]


FORMATS = {
    # Not registered, but the type that https://jsonlines.org and OpenAPI 3.2 use.
    "jsonl": Format("application/jsonl", "", lambda tasks: "".join(f"{task}\n" for task in tasks)),
    "csv": Format(
        "text/csv; charset=utf-8; header=present",
        write_rows([COLUMNS]),
        lambda tasks: write_rows(map(to_row, tasks)),
    ),
}
FILE = {
    "description": "The tasks, from one moment.",
    "headers": {"Content-Disposition": "Content-Disposition"},
    "content": {
        "application/jsonl": {"schema": {"type": "string"}, "example": JSONL_EXAMPLE},
        "text/csv": {"schema": {"type": "string"}, "example": CSV_EXAMPLE},
    },
}


class ExportQuerySchema(FilterSchema):  # type: ignore[misc, valid-type]
    """Filters and format of an export."""

    format = fields.String(
        validate=validate.OneOf(FORMATS),
        load_default="jsonl",
        **doc("`jsonl`: JSON Lines, a task a line. `csv`: a spreadsheet with a header."),
    )

    @post_load
    def to_service_query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the filters apart from the format."""
        return {"filters": parse_filters(data), "format": data["format"]}


@export.route("/export", methods=["GET"])
@export.arguments(ExportQuerySchema(), location="query")
@export.doc(responses={200: FILE})
@errors(*REQUEST, *DATABASE, "too_many_exports")
def export_tasks(query: dict[str, Any]) -> Response:
    """Export tasks

    The file has every task that the filters select, in order of `id`, as they were at one
    moment. A connection that breaks before the body's end means that the file is not whole.
    """
    file = FORMATS[query["format"]]
    batches = export_batches(current_app.config["SETTINGS"], query["filters"])
    first = next(batches, [])  # what fails before the head is sent is a regular error
    texts = map(file.write, chain([first], batches))
    response = Response(
        stream_with_context(stream(chain([file.head], texts))), content_type=file.media_type
    )
    response.call_on_close(batches.close)
    name = f"tasks-{datetime.now(timezone.utc).date()}.{query['format']}"
    response.headers["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def stream(texts: Iterator[str]) -> Iterator[bytes]:
    """Yield a body; the connection is reset if it ends too early, even if the worker is killed.

    The status is sent already. A body of HTTP/1.0, which some proxies speak, merely ends where
    the connection does, and would seem to be whole.

    Raises:
        ConnectionResetError: reading the tasks failed. The log has the cause.
    """
    set_reset_on_close(True)
    try:
        for text in texts:
            yield text.encode()
    except Exception as error:
        unexpected = not isinstance(error, TrackerError)
        logger.error("Export failed midway: %s", describe(error), exc_info=unexpected)  # noqa: TRY400
        # gunicorn closes the connection for this error, and does not log it again.
        raise ConnectionResetError(ECONNRESET, "export failed midway") from error
    set_reset_on_close(False)


def set_reset_on_close(value: bool) -> None:
    """Set whether closing the client's connection resets it (SO_LINGER of zero seconds)."""
    if client := request.environ.get("gunicorn.socket"):
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", value, 0))
