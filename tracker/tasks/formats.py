"""Formats of an import: find a body's format, and read its records as the fields of tasks."""

import codecs
import re
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from itertools import chain
from typing import Any

from .. import strict_json
from .foreign import find_converter, from_gh, from_line, from_starred, from_taskwarrior
from .json_arrays import read_array
from .records import BadRecord, Record, beginning, decode, split_lines
from .table import find_delimiter, read_table

HEAD_MAX = 64 * 1024  # bytes in which the format is found

_ARRAY = re.compile(rb"\s*\[\s*[{\]]")  # a link in Markdown begins with [ too
_OBJECT = re.compile(rb"\s*\{")


CONVERTERS: dict[str, Callable[[dict[str, Any]], dict[str, Any] | None]] = {
    "jsonl": dict,
    "starred": from_starred,
    "gh": from_gh,
    "taskwarrior": from_taskwarrior,
}


class Format(str, Enum):
    """A format of an import."""

    JSONL = "jsonl"
    CSV = "csv"
    STARRED = "starred"
    GH = "gh"
    TASKWARRIOR = "taskwarrior"
    LINES = "lines"


def read_records(chunks: Iterable[bytes], named: Format | None, host: str) -> Iterator[Record]:
    """Yield a body's records; the input schema has to check their values.

    Blank lines, and tasks that are deleted, yield nothing. `host` is GitHub's web host.

    Raises:
        MalformedArray: the body is a JSON array with an error.
    """
    chunks, head = iter(chunks), b""
    while len(head) < HEAD_MAX and (chunk := next(chunks, None)):
        head += chunk
    head = head.removeprefix(codecs.BOM_UTF8)
    chunks = chain([head], chunks)
    is_array = _ARRAY.match(head) is not None
    delimiter = find_delimiter(head.partition(b"\n")[0].decode(errors="replace"))
    if named is None and not (is_array or _OBJECT.match(head)):
        named = Format.CSV if delimiter else Format.LINES
    if named is Format.CSV:
        yield from read_table(split_lines(chunks), delimiter or ",")
    elif named is Format.LINES:
        yield from _read_lines(chunks, lambda text: from_line(text, host))
    elif is_array:
        yield from _convert(read_array(chunks), named)
    else:
        yield from _convert(_read_lines(chunks, _parse_json), named)


def _convert(records: Iterable[Record], named: Format | None) -> Iterator[Record]:
    """Yield the records of other programs' objects as those of tasks."""
    convert = CONVERTERS[named.value] if named else None
    for record in records:
        if not isinstance(record.value, dict):
            yield record
            continue
        convert = convert or find_converter(record.value)
        fields = convert(record.value)
        if fields is not None:
            yield record._replace(value=fields)


def _parse_json(text: str) -> Any:
    """Return the value of a JSON text.

    Raises:
        BadRecord: it is not valid JSON.
    """
    try:
        return strict_json.loads(text)
    except ValueError as error:
        raise BadRecord(f"Not valid JSON: {error}.") from None


def _read_lines(chunks: Iterable[bytes], parse: Callable[[str], Any]) -> Iterator[Record]:
    for number, line in enumerate(split_lines(chunks), 1):
        value, problem = None, ""
        try:
            text = decode(line).strip()
            if not text:
                continue
            value = parse(text)
        except BadRecord as error:
            problem = str(error)
        yield Record(number, beginning(line), value, problem)
