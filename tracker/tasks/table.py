"""Reading of CSV: the records of a spreadsheet, as the fields of tasks."""

import csv
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

from .records import RECORD_MAX, TOO_LONG, BadRecord, Record, beginning, decode
from .spreadsheet import unguard

DIGITS_MAX = 18  # of an issue as a number; the input schema refuses longer text
DELIMITERS = ",;\t"
REST_UNREAD = "Records after it are not read: nothing shows where it ends."


def find_delimiter(header: str) -> str | None:
    """Return what separates the columns of a header; None if no column is `repository`."""
    for delimiter in DELIMITERS:
        with suppress(csv.Error):  # it is something else than CSV
            if "repository" in _names(next(csv.reader([header], delimiter=delimiter), [])):
                return delimiter
    return None


def read_table(lines: Iterable[bytes], delimiter: str) -> Iterator[Record]:
    """Yield the records of a CSV file, whose first one names the fields.

    An empty cell yields no value; a cell of tags has one in each line.
    """
    source = _Lines(lines)
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    names: list[str] = []
    while True:
        source.begin()
        problem, cells = "", []
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            problem = f"Not valid CSV: {error}."
        except BadRecord as error:
            problem = str(error)
        problem = source.problem or problem
        if problem and source.is_cut():
            yield Record(source.first, source.text, problem=f"{problem} {REST_UNREAD}")
            return
        if not names:
            names = _names(cells)
            if len(set(names)) == len(names) and not problem:
                continue
            yield Record(source.first, source.text, problem=problem or "A column is repeated.")
            return
        if len(cells) > len(names):
            problem = f"Has {len(cells)} cells, and the header has {len(names)}."
        if cells or problem:
            yield Record(source.first, source.text, _fields(names, cells), problem)


def _names(cells: list[str]) -> list[str]:
    return [cell.strip().lower() for cell in cells]


def _fields(names: list[str], cells: list[str]) -> dict[str, Any]:
    values: dict[str, Any] = {
        n: unguard(cell) for n, cell in zip(names, cells, strict=False) if cell
    }
    if "tags" in values:
        values["tags"] = values["tags"].splitlines()
    issue = values.get("issue", "")
    if issue.isdecimal() and issue.isascii() and len(issue) <= DIGITS_MAX:
        values["issue"] = int(issue)
    return values


class _Lines:
    """Lines for the csv module, which know the bounds and the beginning of the present record.

    A line that is not UTF-8 is a problem of its record, whose end is found all the same.
    """

    def __init__(self, lines: Iterable[bytes]) -> None:
        self._lines = iter(lines)
        self._number = 0
        self.begin()

    def begin(self) -> None:
        """Begin another record with the next line."""
        self.first = self._number + 1
        self.text = ""
        self.problem = ""
        self._size = 0
        self._quotes = 0

    def is_cut(self) -> bool:
        """Return whether the record may go on after the lines of it that were read."""
        return self._size > RECORD_MAX or self._quotes % 2 == 1

    def __iter__(self) -> "_Lines":
        return self

    def __next__(self) -> str:
        line = next(self._lines)
        self._number += 1
        if not self._size:
            self.text = beginning(line)
        self._size += len(line) + 1
        self._quotes += line.count(b'"')
        if self._size > RECORD_MAX:
            raise BadRecord(TOO_LONG)
        try:
            return f"{decode(line)}\n"
        except BadRecord as error:
            self.problem = str(error)
            return f"{line.decode(errors='replace')}\n"
