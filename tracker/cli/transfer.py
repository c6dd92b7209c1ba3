"""Verbs `export` and `import`."""

from __future__ import annotations

import codecs
import io
import os
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import click

from ..tasks.phrases import count, visible, visible_lines
from . import services
from .client import Client
from .failures import Exit, Failure, Refused, field_errors, problem
from .filters import filter_options
from .output import dump, say, visible_json
from .progress import Progress
from .verbs import verb

FORMATS = ["jsonl", "csv"]


def callers_path(file: str) -> Path:
    """Return the path of a file; a relative one starts where `tracker.py` was called."""
    return Path(os.environ.get("TRACKER_CWD", "")) / Path(file).expanduser()


@verb(
    "export",
    "export > tasks.jsonl",
    "export --format csv tasks.csv --force",
    "export --tag upgrade -",
)
@click.argument("file", default="-")
@filter_options()
@click.option("--format", "kind", type=click.Choice(FORMATS), help="By FILE's ending, or jsonl.")
@click.option("--force", is_flag=True, help="Overwrite an existing file.")
def export_verb(file: str, kind: str | None, force: bool) -> None:
    """Write tasks to FILE, or without one to standard output: finished ones too.

    The file appears when it is complete.
    """
    query = dict(click.get_current_context().meta.get("query", {}))
    kind = kind or ("csv" if file.endswith(".csv") else "jsonl")
    client = services.find()
    if file == "-":
        _write(client, query, kind, sys.stdout.buffer)
        return
    path = callers_path(file)
    with new_file(path, force) as output:
        number = _write(client, query, kind, output)
    written = f": {count(number, 'task')}" if kind == "jsonl" else ""
    say(f"Wrote {visible(str(path))}{written}.")


def _write(client: Client, query: dict[str, Any], kind: str, output: IO[bytes]) -> int:
    """Write an export, and return the number of its lines."""
    head = client.send("GET", "/tasks", query | {"limit": 1, "total": "true"})
    length = head.headers.get("x-total-count", "")
    total = int(length) if length.isdecimal() else 0
    head.read()
    asked = {**query, "format": kind} if kind != "jsonl" else query
    lines = 0
    on_screen = output.isatty()
    write = Screen(output, kind).write if on_screen else output.write
    with Progress("Exporting", total if kind == "jsonl" else None, quiet=on_screen) as progress:
        for chunk in client.send("GET", "/tasks/export", asked).chunks():
            write(chunk)
            progress.advance(found := chunk.count(b"\n"))
            lines += found
    output.flush()
    return lines


class Screen:
    """A terminal, on which the control characters of an export are shown and not obeyed."""

    def __init__(self, output: IO[bytes], kind: str) -> None:
        self._output = output
        self._visible = visible_lines if kind == "csv" else visible_json
        decoder = codecs.getincrementaldecoder("utf-8")()
        self._decode = io.IncrementalNewlineDecoder(decoder, translate=True).decode

    def write(self, chunk: bytes) -> None:
        """Print the next part of the export."""
        text = self._visible(self._decode(chunk))
        self._output.write(text.encode(sys.stdout.encoding, "replace"))


@contextmanager
def new_file(path: Path, force: bool) -> Iterator[IO[bytes]]:
    """Create a file that gets its name after the block.

    Raises:
        Failure: it exists, and `force` is false; or it is a folder, or can't be written.
    """
    if path.is_dir():
        raise Failure(f"{path} is a folder; name a file in it")
    if os.path.lexists(path) and not force:  # a link to nothing is one, too
        raise Failure(f"{path} exists; use --force to overwrite it")
    try:
        if path.exists() and not path.is_file():  # a device must stay one
            with path.open("wb") as file:
                yield file
            return
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                yield file
            Path(name).replace(path)
        finally:
            Path(name).unlink(missing_ok=True)
    except OSError as error:
        raise Failure(f"{path} can't be written: {error.strerror}") from None


@verb(
    "import",
    "import tasks.jsonl --dry-run",
    "import - --skip-invalid < tasks.csv",
    "import tasks.jsonl --json",
)
@click.argument("file")
@click.option("--format", "kind", metavar="NAME", help="By default, the service finds it out.")
@click.option("--dry-run", is_flag=True, help="Check everything, and keep nothing.")
@click.option("--skip-invalid", is_flag=True, help="Keep the valid tasks, and list the others.")
@click.option("--restore", is_flag=True, help="Keep ids, versions, times and metadata, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the service's response.")
def import_verb(
    file: str, kind: str | None, dry_run: bool, skip_invalid: bool, restore: bool, as_json: bool
) -> int:
    """Create tasks from FILE, or from standard input (-): all of them, or none.

    It takes an export, GitHub's list of stars, `gh repo list --json`, taskwarrior's export, or
    lines that each name a repository. GitHub is asked by a later refresh.
    """
    flags = {"dry_run": dry_run, "skip_invalid": skip_invalid, "restore": restore}
    query = {name: "true" for name, given in flags.items() if given}
    query |= {"format": kind} if kind else {}
    client = services.find()
    with source(file) as body:
        try:
            size = {} if body.size is None else {"Content-Length": str(body.size)}
            answer = client.send("POST", "/tasks/import", query, None, body, size).object()
        except Refused as error:
            answer = problem(error.response)
            if "invalid" not in answer:
                raise
        except Failure as error:
            if body.begun and not dry_run:
                error.text += "; all tasks are created or none: look before you repeat it"
            raise
    if as_json:
        click.echo(dump({name: answer[name] for name in RESULT}))
    report(answer, dry_run)
    return Exit.REFUSED if answer["invalid"] else Exit.DONE


RESULT = ("created", "invalid", "more_invalid")


def report(answer: dict[str, Any], dry_run: bool) -> None:
    """Print each invalid line with its number, and how many tasks are created."""
    for line in answer["invalid"]:
        found = line["errors"]
        reasons = field_errors({"line": found} if isinstance(found, dict) else {}) or [str(found)]
        say(f"line {line['line']}: {visible('; '.join(reasons))}")
        if line.get("text"):
            say(f"    {visible(str(line['text']))[:100]}")
    if answer["more_invalid"]:
        lines = answer["more_invalid"]
        say(f"and {count(len(lines), 'further invalid line')}: {', '.join(map(str, lines))}")
    number = count(answer.get("created", 0), "task")
    say(f"{number} would be created." if dry_run else f"{number} created.")


@contextmanager
def source(file: str) -> Iterator[Any]:
    """Open a file or standard input for a body that shows its progress."""
    if file == "-":
        with Upload(sys.stdin.buffer, None) as body:
            yield body
        return
    path = callers_path(file)
    try:
        stream = path.open("rb")
    except OSError as error:
        raise Failure(f"{path} can't be read: {error.strerror}") from None
    with stream:
        status = os.fstat(stream.fileno())
        # The system reports 0 as the size of a pipe.
        size = status.st_size if stat.S_ISREG(status.st_mode) else None
        with Upload(stream, size) as body:
            yield body


class Upload(io.RawIOBase):
    """A body that counts what is read of it, in KiB."""

    def __init__(self, stream: IO[bytes], size: int | None) -> None:
        self._stream = stream
        self.size = size
        self.begun = False
        self._progress = Progress("Importing (KiB)", size and size // 1024).__enter__()

    def readable(self) -> bool:
        """Return True: it is read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read the next bytes."""
        self.begun = True
        chunk = self._stream.read(len(buffer))
        buffer[: len(chunk)] = chunk
        self._progress.advance(len(chunk) // 1024)
        if not chunk:
            self._progress.__exit__()
        return len(chunk)

    def close(self) -> None:
        """Remove the progress bar, which hides the terminal's cursor."""
        self._progress.__exit__()
        super().close()
