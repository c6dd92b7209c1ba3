"""Parsing of JSON bodies and queries, stricter than the libraries'."""

from functools import wraps
from typing import Any, NoReturn
from urllib.parse import parse_qs, urlencode

import flask_smorest
from flask import Request, request
from flask_smorest import abort
from gunicorn.http.errors import ParseException
from marshmallow import RAISE, Schema, ValidationError
from webargs.fields import List
from webargs.flaskparser import FlaskParser, is_json_request

from .. import strict_json
from ..strict_json import KEY_MAX
from .refusals import MalformedBody, MalformedJSON, MalformedQuery, MediaTypeNotSupported

BODY_MAX = 256 * 1024  # bytes; the longest valid task, fully escaped, takes half of it
# Bytes of a query without its cursor; the longest valid filters take nine tenths of it.
QUERY_MAX = 16 * 1024
TOO_SHORT = "Request body is shorter than its Content-Length."
PATCH_TYPES = ("application/json", "application/merge-patch+json")
ERRORS_MAX = 20  # in a response
NOT_UTF_8 = "Request body must be UTF-8, without a byte order mark."


class StrictParser(FlaskParser):
    """Parser that ignores nothing: JSON as RFC 8259 has it; no unknown or repeated parameter."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        """Return the query's parameters; only lists may have several values."""
        lists = {name for name, field in schema.fields.items() if isinstance(field, List)}
        try:
            # Not req.args, in which invalid UTF-8 would be the text "%FF".
            given = parse_qs(req.query_string.decode(), keep_blank_values=True, errors="strict")
        except UnicodeDecodeError:
            raise MalformedQuery("Query string must be percent-encoded UTF-8.") from None
        # Percent-encoding at most triples a query: only longer ones are encoded to be measured.
        if 3 * len(req.query_string) > QUERY_MAX and len(query_without_cursor(req)) > QUERY_MAX:
            message = f"Query exceeds the limit of {QUERY_MAX:,} bytes."
            raise ValidationError({"_schema": [message]})
        repeated = {name for name, values in given.items() if len(values) > 1} - lists
        if repeated:
            raise ValidationError({name: ["Must be given once."] for name in repeated})
        return {name: values if name in lists else values[0] for name, values in given.items()}

    def load_json(self, req: Request, schema: Schema) -> Any:
        """Return the JSON body; raise a 400, 413 or 415 where there is none."""
        check_media_type(req)
        body = read_body(req)
        try:
            text = body.decode()
        except UnicodeDecodeError:
            raise MalformedJSON(NOT_UTF_8) from None
        if text.startswith("\ufeff"):
            raise MalformedJSON(NOT_UTF_8)
        try:
            return strict_json.loads(text)
        except ValueError as error:
            raise MalformedJSON(f"Request body is not valid JSON: {error}.") from None

    def handle_error(self, error: ValidationError, *args: Any, **kwargs: Any) -> NoReturn:
        """Abort with at most ERRORS_MAX errors."""
        error.messages = first_errors(error.messages_dict)
        super().handle_error(error, *args, **kwargs)


class QuerySchema(Schema):
    """Parameters of a query."""

    error_messages = {"unknown": "Unknown parameter."}


class Blueprint(flask_smorest.Blueprint):
    """A flask-smorest blueprint that parses requests strictly.

    A view without a schema for its query takes no parameter.
    """

    ARGUMENTS_PARSER = StrictParser()

    def arguments(self, schema: Any, *, location: str = "json", **options: Any) -> Any:
        """Return the decorator that parses a part of the request with a schema."""
        decorate = super().arguments(schema, location=location, **options)

        def decorated(view: Any) -> Any:
            view = decorate(view)
            view.takes_query = location == "query" or getattr(view, "takes_query", False)
            return view

        return decorated

    def route(self, rule: str, **options: Any) -> Any:
        """Return the decorator that registers a view."""
        register = super().route(rule, **options)

        def registered(view: Any) -> Any:
            if getattr(view, "takes_query", False):
                return register(view)
            strict = self.arguments(QuerySchema(), location="query", as_kwargs=True)(view)

            @wraps(strict)
            def choose(*args: Any, **kwargs: Any) -> Any:
                # To parse nothing would be a sixth of the time of a read.
                return (strict if request.query_string else view)(*args, **kwargs)

            return register(choose)

        return registered


def query_without_cursor(req: Request) -> str:
    """Return the query with its values as they were given, percent-encoded, but no cursor."""
    pairs = req.args.items(multi=True)
    return urlencode([pair for pair in pairs if pair[0] != "cursor"])


def check_media_type(req: Request) -> None:
    """Check that the body is declared as JSON, and that of a PATCH as a merge patch.

    Other JSON, such as a JSON Patch (RFC 6902), would mean something else in a PATCH.
    """
    message = "Request body must be JSON, with Content-Type: application/json."
    if req.method != "PATCH":
        if not is_json_request(req):
            raise MediaTypeNotSupported(message)
    elif req.mimetype not in PATCH_TYPES:
        message = f"Request body must be a JSON merge patch, with Content-Type: {PATCH_TYPES[0]}."
        raise MediaTypeNotSupported(message, headers={"Accept-Patch": ", ".join(PATCH_TYPES)})


def read_body(req: Request) -> bytes:
    """Return the request's body; abort with 413 if it is larger than BODY_MAX."""
    try:
        body = req.get_data(cache=True)
    except (OSError, ParseException):  # gunicorn's, for malformed chunks
        raise MalformedBody("Request body could not be read.") from None
    # Of a chunked body werkzeug reads no more than MAX_CONTENT_LENGTH, and raises nothing.
    if len(body) > BODY_MAX:
        abort(413)
    if len(body) < (req.content_length or 0):  # gunicorn says nothing where the client has gone
        raise MalformedBody(TOO_SHORT)
    return body


def first_errors(errors: dict[Any, Any]) -> dict[Any, Any]:
    """Return the first ERRORS_MAX errors, at every level, and how many are left out."""
    found = {
        key[:KEY_MAX] if isinstance(key, str) else key: (
            first_errors(value) if isinstance(value, dict) else value
        )
        for key, value in list(errors.items())[:ERRORS_MAX]
    }
    if len(errors) > ERRORS_MAX:
        found["_more"] = [f"{len(errors) - ERRORS_MAX} further errors."]
    return found
