"""Error responses: one JSON shape for every failure."""

import logging
from http import HTTPStatus
from typing import Any

from flask import Flask, Response, jsonify
from marshmallow import fields, validate
from werkzeug.exceptions import HTTPException

from ..causes import describe
from ..errors import TrackerError
from .fields import doc
from .refusals import http_reason, reasons
from .schemas import ResponseSchema

logger = logging.getLogger(__name__)

# Messages for errors that werkzeug and webargs raise themselves.
MESSAGES = {
    404: "Nothing is served at this path; see /docs.",
    405: "This path does not support the method; see the Allow header.",
    413: "Request body exceeds the 256 KiB limit.",
    422: "Request has invalid fields; see errors.",
    500: "Internal error; the log has details under this X-Request-ID.",
}


class ErrorSchema(ResponseSchema):
    """An error: its cause, and what to do about it."""

    code = fields.Integer(required=True, **doc("HTTP status code."))
    status = fields.String(required=True, **doc("Name of the status."))
    reason = fields.String(
        required=True,
        validate=validate.OneOf(reasons()),
        **doc("Stable word for the failure, for programs."),
    )
    message = fields.String(required=True, **doc("What failed, and what to do about it."))
    errors = fields.Dict(
        keys=fields.String(),
        **doc("Invalid parts of the request, by location and field."),
    )


def init_app(app: Flask) -> None:
    """Register the handler for expected failures."""
    app.register_error_handler(TrackerError, handle_tracker_error)


def handle_tracker_error(error: TrackerError) -> Response:
    """Return the response for an expected failure, and log it if it is ours (5xx)."""
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.error("%s", describe(error))
    members = getattr(error, "members", {})
    response = error_response(error.status, error.reason, str(error), error.errors, **members)
    response.headers.extend(error.headers)
    return response


def handle_http_exception(error: HTTPException) -> Response:
    """Return the response for an error of werkzeug or webargs, with its headers."""
    data = getattr(error, "data", {})
    status = HTTPStatus(error.code or 500)
    message = data.get("message") or MESSAGES.get(status) or error.description
    errors = data.get("errors") or data.get("messages")
    reason = data.get("reason") or http_reason(status)
    response = error_response(status, reason, message or status.description, errors)
    response.headers.extend(
        (name, value) for name, value in error.get_headers() if name != "Content-Type"
    )
    response.headers.extend(data.get("headers") or {})
    return response


def error_response(
    status: HTTPStatus, reason: str, message: str, errors: Any = None, **members: Any
) -> Response:
    """Return an error as JSON, with `errors` if there are any, and further members."""
    body: dict[str, Any] = {
        "code": status,
        "status": status.phrase,
        "reason": reason,
        "message": message,
        **members,
    }
    if errors:
        body["errors"] = errors
    response = jsonify(body)
    response.status_code = status
    return response
