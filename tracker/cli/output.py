"""Results on standard output: a table for people, and the same rows for programs."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import wraps
from typing import Any, TypeVar

import click

from ..tasks.phrases import visible, visible_lines
from .failures import Failure

F = TypeVar("F", bound=Callable[..., Any])
Row = dict[str, Any]
FORMATS = {
    "json": "Whole objects, as one JSON array.",
    "jsonl": "Whole objects, one a line.",
    "csv": "Whole objects, as CSV with a header.",
}
FORMULA = ("=", "+", "-", "@", "\t", "\r")  # a spreadsheet would compute such a cell
SEPARATORS = str.maketrans({"\t": " ", "\n": " ", "\r": " "})


@dataclass
class Output:
    """How a verb prints its results."""

    format: str | None = None  # of FORMATS, or `ids`
    color: str = "auto"

    @property
    def on_terminal(self) -> bool:
        """Whether people read the results."""
        return self.format is None and sys.stdout.isatty()

    @property
    def colored(self) -> bool:
        """Whether to use colors on standard output; see https://no-color.org."""
        if self.color != "auto":
            return self.color == "always"
        plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb"
        return sys.stdout.isatty() and not plain

    def rows(
        self,
        rows: Iterable[Row],
        plain: Callable[[Row], Iterable[Any]],
        table: Callable[[list[Row], Output], None],
        ids: str = "id",
    ) -> int:
        """Print the rows in the format that is asked for, and return their number."""
        counted = Counted(rows)
        if self.format == "json":
            print_array(counted)
        elif self.format == "csv":
            print_csv(counted)
        elif self.on_terminal:
            if found := list(counted):
                table(found, self)
        else:
            for row in counted:
                sys.stdout.write(self._line(row, plain, ids) + "\n")
        return counted.number

    def _line(self, row: Row, plain: Callable[[Row], Iterable[Any]], ids: str) -> str:
        if self.format == "jsonl":
            return dump(row)
        if self.format == "ids":
            return str(row[ids])
        return "\t".join(cell(value) for value in plain(row))

    def lines(self, rows: Iterable[Row], sentence: Callable[[Row], str], plain: Any) -> None:
        """Print a sentence for each row on a terminal, and the rows elsewhere, as they come.

        Each row is a change that is made when the row is read. Where the output can't be written,
        the others are made all the same.
        """
        if self.on_terminal:
            for row in rows:
                click.echo(sentence(row))
            return
        rows = iter(rows)
        try:
            self.rows(_flushed(rows), plain, lambda *_: None)
            sys.stdout.flush()
        except OSError as error:
            discard_output()
            for _ in rows:
                pass
            if not isinstance(error, BrokenPipeError):
                raise


def _flushed(rows: Iterable[Row]) -> Iterator[Row]:
    for row in rows:
        yield row
        sys.stdout.flush()


def discard_output() -> None:
    """Print the rest nowhere, since standard output can't be written."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    if os.path.sameopenfile(sys.stdout.fileno(), sys.stderr.fileno()):
        os.dup2(nowhere, sys.stderr.fileno())
    os.dup2(nowhere, sys.stdout.fileno())


def unwritable(error: OSError) -> Failure:
    """Return the failure of standard output, on which nothing can be printed any more.

    Raises:
        OSError: the error names a file, so it is not about standard output.
    """
    if error.filename is not None:
        raise error
    discard_output()  # or the interpreter's own flush at the end would fail
    return Failure(
        f"can't write the output: {error.strerror or error}; free some space or write it elsewhere"
    )


class Counted:
    """Rows that are counted as they pass."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self._rows = rows
        self.number = 0

    def __iter__(self) -> Iterator[Row]:
        for row in self._rows:
            self.number += 1
            yield row


def dump(value: Any) -> str:
    """Return JSON in one line, in the letters that the output's encoding has.

    On a terminal, characters that it would obey are escaped.
    """
    ascii_only = (sys.stdout.encoding or "ascii").lower() not in {"utf-8", "utf8"}
    text = json.dumps(value, ensure_ascii=ascii_only)
    return visible_json(text) if sys.stdout.isatty() else text


def visible_json(text: str) -> str:
    """Return JSON with control characters escaped as JSON does it, but for the ends of lines."""
    if text.isprintable():
        return text
    return "".join(
        sign if sign == "\n" or visible(sign) == sign else f"\\u{ord(sign):04x}" for sign in text
    )


def print_array(rows: Iterable[Row]) -> None:
    """Print a JSON array, an element a line."""
    separator = "["
    for row in rows:
        sys.stdout.write(f"{separator}{dump(row)}")
        separator = ",\n "
    sys.stdout.write("[]\n" if separator == "[" else "]\n")


def print_csv(rows: Iterable[Row]) -> None:
    """Print CSV with a header; a list has one element a line in its cell."""
    import csv

    writer = csv.writer(sys.stdout, quoting=csv.QUOTE_ALL, lineterminator="\n")
    on_terminal = sys.stdout.isatty()
    for number, row in enumerate(rows):
        if number == 0:
            writer.writerow(row)
        cells = [spreadsheet_cell(value) for value in row.values()]
        if on_terminal:
            cells = list(map(visible_lines, cells))
        writer.writerow(cells)


def spreadsheet_cell(value: Any) -> str:
    """Return a value as a cell that no spreadsheet takes for a formula."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, dict):
        return json.dumps(value)
    text = "\n".join(map(str, value)) if isinstance(value, list) else str(value)
    return f"'{text}" if isinstance(value, str | list) and text.startswith(FORMULA) else text


def cell(value: Any) -> str:
    """Return a value between two tabs."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
    return text.translate(SEPARATORS)


def say(text: str) -> None:
    """Print a message for people on standard error, after the results so far."""
    sys.stdout.flush()
    with suppress(OSError):  # it can't be written; the verb goes on
        click.echo(text, err=True)


def output_options(function: F) -> F:
    """Add the options of the output; the function gets them as its parameter `output`."""

    @wraps(function)
    def run(color: str, quiet: bool, **options: Any) -> Any:
        chosen = [name for name in FORMATS if options.pop(f"as_{name}")]
        chosen += ["ids"] if quiet else []
        if len(chosen) > 1:
            raise click.UsageError("take one of --json, --jsonl, --csv and -q")
        return function(output=Output(chosen[0] if chosen else None, color), **options)

    colors = click.Choice(["auto", "always", "never"])
    run = click.option("--color", type=colors, default="auto", help="Use colors.")(run)
    run = click.option("-q", "--quiet", is_flag=True, help="Print ids alone.")(run)
    for name, text in reversed(FORMATS.items()):
        run = click.option(f"--{name}", f"as_{name}", is_flag=True, help=text)(run)
    return run  # type: ignore[return-value]
