"""JSON bodies, read more strictly than Python's json reads them."""

import json
from typing import Any, NoReturn

from flask import Request
from flask_smorest import Blueprint as SmorestBlueprint
from flask_smorest import abort
from webargs.flaskparser import FlaskParser, is_json_request

NUMBER_MAX = 1_000  # digits; Python itself refuses to read more than 4,300


class JSONParser(FlaskParser):
    """Reads a request's body as JSON per RFC 8259: UTF-8, no NaN, no key twice."""

    def _raw_load_json(self, req: Request) -> Any:
        if not is_json_request(req):
            abort(415, message="Send the body as JSON, with Content-Type: application/json.")
        body = req.get_data(cache=True)
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
    """A flask-smorest blueprint whose bodies are read by JSONParser."""

    ARGUMENTS_PARSER = JSONParser()


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
