"""View that imports tasks from a file."""

from collections.abc import Iterator
from typing import Any

from flask import current_app, request
from gunicorn.http.errors import ParseException
from marshmallow import ValidationError
from werkzeug.exceptions import ClientDisconnected, RequestEntityTooLarge

from ..tasks import importing
from ..tasks.formats import read_records
from ..tasks.json_arrays import MalformedArray
from .examples import IMPORT_EXAMPLE, IMPORTED_EXAMPLE
from .failures import DATABASE, REQUEST, errors
from .import_failures import FILE_WANTED, IMPORT, IMPORT_MAX, IMPORT_MAX_TEXT, TOO_LARGE
from .import_schemas import ImportErrorSchema, ImportQuerySchema, ImportSchema, RestoreLoader
from .parsing import TOO_SHORT, Blueprint, first_errors
from .refusals import BodyTooLarge, MalformedBody, MalformedJSON, MediaTypeNotSupported
from .schemas import TaskInputSchema

imports = Blueprint("imports", __name__, url_prefix="/tasks", description="Tasks from a file")

CHUNK = 64 * 1024  # bytes
BODY_TIMEOUT = 300.0  # seconds for the whole body, which is checked while it arrives
MEDIA_TYPES = (
    "text/plain",
    "text/csv",
    "application/json",
    "application/jsonl",
    "application/x-ndjson",
    "application/octet-stream",
)
BODY = {
    "description": (
        f"A file of up to {IMPORT_MAX_TEXT} in UTF-8, with up to {importing.RECORDS_MAX:,} records."
    ),
    "content": {"text/plain": {"schema": {"type": "string"}, "example": IMPORT_EXAMPLE}},
}
REFUSED = {422: {"content": {"application/json": {"schema": ImportErrorSchema}}}}


@imports.route("/import", methods=["POST"])
@imports.arguments(ImportQuerySchema(), location="query")
@imports.response(200, ImportSchema, example=IMPORTED_EXAMPLE)
@imports.doc(requestBody=BODY, responses=REFUSED)
@errors(*REQUEST, *DATABASE, *IMPORT)
def import_tasks(query: dict[str, Any]) -> importing.Outcome:
    """Import tasks

    The body is JSON Lines or CSV with the fields of tasks, GitHub's JSON of starred repositories,
    the JSON of `gh repo list` or of taskwarrior's `task export`, or lines that each name a
    repository. GitHub is not called: a refresh fetches the metadata. If a record is invalid,
    nothing is stored, unless it is skipped. A repeated import creates the tasks once more.
    """
    if request.mimetype and request.mimetype not in MEDIA_TYPES:
        raise MediaTypeNotSupported(FILE_WANTED)
    load = RestoreLoader() if query["restore"] else TaskInputSchema().load
    records = read_records(
        read_chunks(), query.pop("format"), current_app.config["GITHUB_WEB_HOST"]
    )
    try:
        return importing.import_tasks(records, lambda value: load_bounded(load, value), **query)
    except MalformedArray as error:
        raise MalformedJSON(f"Request body is not valid JSON: {error}.") from None


def load_bounded(load: Any, value: Any) -> dict[str, Any]:
    """Return the columns of a record, or raise ValidationError with a few errors."""
    try:
        columns: dict[str, Any] = load(value)
    except ValidationError as error:
        raise ValidationError(first_errors(error.messages_dict)) from None
    return columns


def read_chunks() -> Iterator[bytes]:
    """Yield the request's body as it arrives.

    Raises:
        BodyTooLarge: it has more than IMPORT_MAX bytes.
        MalformedBody: it ends too soon.
    """
    if connection := request.environ.get("gunicorn.socket"):
        connection.expect_body(BODY_TIMEOUT)
    request.max_content_length = IMPORT_MAX + 1
    size = 0
    try:
        while chunk := request.stream.read(CHUNK):
            size += len(chunk)
            if size > IMPORT_MAX:
                break
            yield chunk
            importing.yield_to_others()  # a whole chunk may have no record
    except RequestEntityTooLarge:
        size = IMPORT_MAX + 1
    except (OSError, ParseException, ClientDisconnected):
        raise MalformedBody("Request body could not be read.") from None
    if size > IMPORT_MAX:
        raise BodyTooLarge(TOO_LARGE)
    if size < (request.content_length or 0):  # gunicorn says nothing where the client has gone
        raise MalformedBody(TOO_SHORT)
