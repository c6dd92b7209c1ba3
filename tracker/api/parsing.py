"""JSON bodies and queries, read more strictly than the libraries read them."""

import json
from collections.abc import Callable
from functools import lru_cache
from typing import Any, NoReturn

from flask import Request
from flask_smorest import Blueprint as SmorestBlueprint
from flask_smorest import abort
from gunicorn.http.errors import ParseException
from marshmallow import RAISE, Schema, ValidationError
from webargs.fields import List
from webargs.flaskparser import FlaskParser, is_json_request

Decorator = Callable[[Any], Any]

BODY_MAX = 256 * 1024  # bytes; the longest valid task, fully escaped, takes half of it
QUERIES_REMEMBERED = 100
NUMBER_MAX = 1_000  # digits; Python itself refuses to read more than 4,300


class StrictParser(FlaskParser):
    """Ignores nothing: JSON is read per RFC 8259, and a query has no parameter unknown or twice."""

    DEFAULT_UNKNOWN_BY_LOCATION = {**FlaskParser.DEFAULT_UNKNOWN_BY_LOCATION, "query": RAISE}

    def __init__(self) -> None:
        super().__init__()
        self._parse_query = lru_cache(QUERIES_REMEMBERED)(self._parse_query_string)

    def parse(self, argmap: Any, *args: Any, location: str | None = None, **options: Any) -> Any:
        """Read and check a part of the request; a query that was sound before is so again."""
        if location == "query":
            query_string = self.get_default_request().query_string
            return self._parse_query(argmap, query_string, **options)
        return super().parse(argmap, *args, location=location, **options)

    def _parse_query_string(self, argmap: Any, query_string: bytes, **options: Any) -> Any:
        return super().parse(argmap, location="query", **options)

    def load_querystring(self, req: Request, schema: Schema) -> Any:
        """Give the query's parameters, none of which but lists may come twice."""
        lists = {name for name, field in schema.fields.items() if isinstance(field, List)}
        given = dict(req.args.lists())
        twice = {name for name, values in given.items() if len(values) > 1} - lists
        if twice:
            raise ValidationError({name: ["Must be given once."] for name in twice})
        # Not webargs' view of them, in which marshmallow looks up what is not there at some cost.
        return {name: values if name in lists else values[0] for name, values in given.items()}

    def _raw_load_json(self, req: Request) -> Any:
        if not is_json_request(req):
            abort(415, message="Send the body as JSON, with Content-Type: application/json.")
        body = _read_body(req)
        try:
            return json.loads(
                body.decode(),
                parse_int=_integer,
                parse_constant=_refuse_constant,
                object_pairs_hook=_object,
            )
        except RecursionError:
            abort(400, message="The JSON is nested too deep.")
        except ValueError as error:
            abort(400, message=f"The body is not valid JSON: {error}.")


class Blueprint(SmorestBlueprint):
    """A flask-smorest blueprint that reads bodies strictly, and leaves answers to its views.

    What declares an answer is for the document alone: a wrapper for each declaration would do
    nothing, at each request.
    """

    ARGUMENTS_PARSER = StrictParser()

    def response(self, *args: Any, **kwargs: Any) -> Decorator:
        """Declare the answer of a success."""
        return _declare(super().response(*args, **kwargs))

    def alt_response(self, *args: Any, **kwargs: Any) -> Decorator:
        """Declare another answer."""
        return _declare(super().alt_response(*args, **kwargs))

    def doc(self, **kwargs: Any) -> Decorator:
        """Declare anything else."""
        return _declare(super().doc(**kwargs))


def _declare(decorate: Decorator) -> Decorator:
    def declare(view: Any) -> Any:
        view._apidoc = decorate(view)._apidoc
        return view

    return declare


def _read_body(req: Request) -> bytes:
    try:
        body = req.get_data(cache=True)
    except (OSError, ParseException):  # gunicorn's, for chunks that are none
        abort(400, message="The body could not be read.")
    # Of a body in chunks werkzeug reads just as much as is allowed, and says nothing.
    if len(body) > BODY_MAX:
        abort(413)
    return body


def _integer(digits: str) -> int:
    if len(digits) > NUMBER_MAX:
        raise ValueError(f"a number has more than {NUMBER_MAX:,} digits")
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {json.dumps(twice)} appears twice in one object")
    return found
