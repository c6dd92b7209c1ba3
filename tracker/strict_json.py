"""JSON as RFC 8259 has it: no repeated key, no NaN, and bounds for what makes parsing slow."""

import json
from typing import Any, NoReturn

DIGITS_MAX = 1_000  # of a number; Python itself refuses more than 4,300
MEMBERS_MAX = 1_000  # of a JSON object
KEY_MAX = 100  # characters of a key in an error


def loads(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        ValueError: it is not valid JSON; the message says why.
    """
    return _checked(json.loads, text, **_HOOKS)


def raw_decode(text: str, position: int) -> tuple[Any, int]:
    """Return the JSON value that begins at a position, and the position behind it.

    Raises:
        json.JSONDecodeError: it is not valid JSON, or the text ends within it.
        ValueError: it is not valid JSON, whatever follows.
    """
    found: tuple[Any, int] = _checked(_decoder.raw_decode, text, position)
    return found


def _checked(decode: Any, *args: Any, **kwargs: Any) -> Any:
    try:
        return decode(*args, **kwargs)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _integer(digits: str) -> int:
    if len(digits) > DIGITS_MAX:
        raise ValueError(f"a number has more than {DIGITS_MAX:,} digits")
    return int(digits)


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(pairs) > MEMBERS_MAX:
        raise ValueError(f"an object has more than {MEMBERS_MAX:,} members")
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key {json.dumps(key[:KEY_MAX])} is repeated in an object")
        found[key] = value
    return found


_HOOKS: dict[str, Any] = {
    "parse_int": _integer,
    "parse_constant": _refuse_constant,
    "object_pairs_hook": _object,
}
_decoder = json.JSONDecoder(**_HOOKS)
