"""Reading of JSON arrays that are larger than memory should hold at a time."""

import codecs
import json
import re
from collections.abc import Iterable, Iterator
from enum import Enum, auto

from .. import strict_json
from .records import RECORD_MAX, TEXT_MAX, TOO_LONG, Record

_WHITESPACE = re.compile(r"[ \t\r\n]*")


class MalformedArray(ValueError):
    """A JSON array has an error, and what follows it can't be read."""


class _State(Enum):
    """What may come next: an array; a value or the end; a value; a comma or the end."""

    OUTSIDE = auto()
    BEGUN = auto()
    COMMA = auto()
    VALUE = auto()


# The next state, by the state and a character that is no part of a value.
_NEXT = {
    (_State.OUTSIDE, "["): _State.BEGUN,
    (_State.BEGUN, "]"): _State.OUTSIDE,
    (_State.VALUE, "]"): _State.OUTSIDE,
    (_State.VALUE, ","): _State.COMMA,
}


def read_array(chunks: Iterable[bytes]) -> Iterator[Record]:
    """Yield the elements of a JSON array, or of several in a row.

    The parser gets the text from the beginning of an element, and more of the text until the
    element is whole.

    Raises:
        MalformedArray: the text is something else.
    """
    texts = codecs.iterdecode(chunks, "utf-8")
    text, position, number, state = "", 0, 0, _State.OUTSIDE
    while True:
        position = _WHITESPACE.match(text, position).end()  # type: ignore[union-attr]
        if position == len(text):
            text, position = _more(texts, number), 0
            if text:
                continue
            if state is not _State.OUTSIDE:
                raise MalformedArray(f"it ends behind element {number}")
            return
        if following := _NEXT.get((state, text[position])):
            position, state = position + 1, following
            continue
        if state not in (_State.BEGUN, _State.COMMA):
            raise MalformedArray(f"{text[position]!r} can't follow element {number}")
        try:
            value, end = strict_json.raw_decode(text, position)
        except ValueError as error:
            # A text that ends too soon can raise any syntax error.
            syntax = error.msg if isinstance(error, json.JSONDecodeError) else ""
            whole = not syntax or len(text) - position > RECORD_MAX
            if whole or not (more := _more(texts, number)):
                raise MalformedArray(f"{syntax or error}, in element {number + 1}") from None
            text, position = text[position:] + more, 0
            continue
        number += 1
        problem = TOO_LONG if end - position > RECORD_MAX else ""
        yield Record(number, text[position : position + TEXT_MAX], value, problem)
        position, state = end, _State.VALUE


def _more(texts: Iterator[str], number: int) -> str:
    try:
        return next(texts, "")
    except UnicodeDecodeError:
        raise MalformedArray(f"element {number + 1} is not UTF-8") from None
