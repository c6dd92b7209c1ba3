"""Records of an import: a line, a record of a CSV file, or an element of a JSON array.

Only one is in memory at a time, and none may have more than RECORD_MAX bytes.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

RECORD_MAX = 256 * 1024  # bytes; the longest valid task, fully escaped, takes half of it
TEXT_MAX = 200  # characters of a record in an error
TOO_LONG = f"Exceeds the limit of {RECORD_MAX // 1024} KiB."
NOT_UTF8 = "Must be UTF-8."


class Record(NamedTuple):
    """A record's place and beginning, and its value, or the problem for which it has none."""

    number: int  # of the record's first line, or of the element of an array
    text: str
    value: Any = None
    problem: str = ""


class BadRecord(ValueError):
    """A record can't be read; the message says why."""


def split_lines(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield each line; one that is too long is cut behind the limit."""
    rest = b""
    for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        yield from lines
        rest = rest[: RECORD_MAX + 1]
    if rest:
        yield rest


def decode(line: bytes) -> str:
    """Return the text of a line.

    Raises:
        BadRecord: it is too long, or not UTF-8.
    """
    if len(line) > RECORD_MAX:
        raise BadRecord(TOO_LONG)
    try:
        return line.decode()
    except UnicodeDecodeError:
        raise BadRecord(NOT_UTF8) from None


def beginning(line: bytes) -> str:
    """Return as much of a line as an error has."""
    return line[: 4 * TEXT_MAX].decode(errors="replace").strip()[:TEXT_MAX]
