"""The verb `edit`: fields by options, or one task in an editor."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import click

from ..tasks.phrases import sentence, visible
from . import services
from .client import Client
from .draft import add_error, lines_without_error, read_draft, write_draft
from .failures import Exit, Failure, Failures, Refused
from .filters import STATUSES, UNFINISHED, Day, Selection, selection_options
from .journal import Journal
from .output import Output, Row, output_options, say
from .reading import plain_task
from .verbs import verb
from .writing import apply, confirm_option

INVALID = 422
BULK = {"add_tags", "remove_tags"}


@verb(
    "edit",
    "edit 1 --set-priority high --set-due +2w",
    "edit --tag upgrade --add-tag 2027 --yes",
    "edit 1",
)
@selection_options
@click.option("--set-title", metavar="TEXT", help="Change the title.")
@click.option("--set-description", metavar="TEXT", help="Change the description; '' removes it.")
@click.option("--set-status", type=click.Choice(STATUSES), help="Change the status.")
@click.option("--set-priority", type=click.Choice(["low", "normal", "high"]), help="And so on.")
@click.option(
    "--set-due", "--set-due-date", "set_due_date", type=Day(), help="A date, fri, +3d, none."
)
@click.option("--set-repository", metavar="NAME", help="Move the task; not for many at once.")
@click.option("--set-issue", type=int, metavar="N", help="0 removes it; not for many at once.")
@click.option("--add-tag", "add_tags", multiple=True, metavar="TAG", help="Repeat for several.")
@click.option("--remove-tag", "remove_tags", multiple=True, metavar="TAG", help="Repeat.")
@confirm_option
@output_options
def edit_verb(selection: Selection, yes: bool, output: Output, **options: Any) -> None:
    """Change tasks; without an option that says what, open one in $EDITOR.

    A task that someone else has changed meanwhile is shown field by field before anything is
    overwritten.
    """
    if selection.empty:
        raise click.UsageError("which tasks? Take ids or filters")
    fields = given(options)
    if fields and not selection.ids:
        apply(selection, UNFINISHED, fields, ("Change {}?", "changed"), output, yes)
        return
    client, failures = services.find(), Failures()
    tasks = selection.read(client)
    if not fields and len(tasks) != 1:
        message = "the editor takes one task, and these are"
        raise click.UsageError(f"{message} {len(tasks)}; say what to change by an option")
    with Journal(client.place, "edit") as journal:
        edited = []
        for task in tasks:
            with failures.of(f"#{task['id']}" if len(tasks) > 1 else ""):
                if fields:
                    edited.append(save(client, task, for_one(task, fields), journal))
                else:
                    edited.append(edit_text(client, task, journal))
    output.lines(edited, sentence, plain_task)
    failures.end()


def given(options: dict[str, Any]) -> dict[str, Any]:
    """Return the fields that the options set, as a bulk change takes them."""
    found = {
        name.removeprefix("set_"): list(value) if isinstance(value, tuple) else value
        for name, value in options.items()
        if value not in (None, ())
    }
    nothing = {"description": "", "due_date": "none", "issue": 0}
    return {
        name: None if name in nothing and value == nothing[name] else value
        for name, value in found.items()
    }


def for_one(task: Row, fields: dict[str, Any]) -> dict[str, Any]:
    """Return the fields as a change of one task takes them: `tags` in whole."""
    if not BULK & fields.keys():
        return fields
    removed = {tag.casefold() for tag in fields.get("remove_tags", ())}
    tags = [tag for tag in task["tags"] if tag.casefold() not in removed]
    plain = {name: value for name, value in fields.items() if name not in BULK}
    return plain | {"tags": [*tags, *fields.get("add_tags", ())]}


def save(client: Client, task: Row, fields: dict[str, Any], journal: Journal) -> Row:
    """Change a task as it was read; where it has changed since, show that and ask."""
    fields = {name: value for name, value in fields.items() if value != task[name]}
    read = task
    while fields:
        journal.changing(task, fields)
        try:
            with journal.sending(task):
                changed = client.change(task, fields)
        except Refused as error:
            if error.exit_code != Exit.CHANGED:
                raise
            task = client.task(task["id"])
            show_conflict(read, task, fields)
            if not (sys.stdin.isatty() and click.confirm("Save yours over theirs?", err=True)):
                raise Failure(f"#{task['id']} was changed meanwhile", Exit.CHANGED) from None
        else:
            if changed["version"] == task["version"]:  # tags that it has in another spelling
                journal.drop(task)
            return changed
    return task


def show_conflict(read: Row, theirs: Row, fields: dict[str, Any]) -> None:
    """Print each field that either side has changed: as it was, theirs, and yours."""
    say(f"#{read['id']} was changed since it was read:")
    for name in (*fields, *(n for n in read if n in FIELDS and n not in fields)):
        if theirs[name] != read[name] or name in fields:
            say(f"  {name}")
            sides = {"was": read[name], "theirs": theirs[name], "yours": fields.get(name, "-")}
            for side, value in sides.items():
                if side != "theirs" or theirs[name] != read[name]:
                    say(f"    {side + ':':8}{visible(str(value))}")


# What may end an edit, besides a fault of this program
EXPECTED = (click.Abort, click.ClickException, KeyboardInterrupt, OSError, UnicodeError)
FIELDS = {"title", "description", "status", "priority", "tags", "due_date", "repository", "issue"}


def edit_text(client: Client, task: Row, journal: Journal) -> Row:
    """Open the task in an editor until the text is saved, or is left as it was."""
    start = text = write_draft(task)
    unchanged = read_draft(start)  # an editor may drop blanks that the task has
    path = Path(keep(start))
    refusal = ""
    try:
        while True:
            path.write_text(text, encoding="utf-8")
            written = open_editor(path, text)
            # An editor that is a program would write the refused text again, without end.
            if refusal and lines_without_error(written) == lines_without_error(text):
                raise Failure(f"nothing is saved: {refusal}")
            if written == text:
                say("Nothing was changed.")
                break
            text = written
            try:
                fields = read_draft(text)
                new = {name: fields[name] for name in fields if fields[name] != unchanged[name]}
                task = save(client, task, new, journal)
                break
            except ValueError as error:
                refusal = str(error)
            except Refused as error:
                if error.response.status != INVALID:
                    raise
                refusal = error.text
            text = add_error(text, refusal)
    except BaseException as error:
        if path.read_bytes() == start.encode():
            path.unlink()
            raise
        if not isinstance(error, EXPECTED):
            say(f"Your text is in {path}.")
            raise
        reason = "the text is not UTF-8" if isinstance(error, UnicodeError) else str(error)
        code = Exit(error.exit_code) if isinstance(error, Failure) else Exit.REFUSED
        if isinstance(error, click.Abort | KeyboardInterrupt):
            reason, code = "interrupted", Exit.INTERRUPTED
        raise Failure(f"{reason.rstrip('.')}; your text is in {path}", code) from None
    path.unlink()
    return task


def open_editor(path: Path, text: str) -> str:
    """Open the file with the text in the editor, and return the text after it.

    Raises:
        Failure: the editor can't be started, fails, or removes the file, which is then restored.
    """
    try:
        click.edit(filename=str(path))
    except (click.ClickException, ValueError) as error:
        cause = error.__cause__
        reason = f"{cause.filename}: {cause.strerror}" if isinstance(cause, OSError) else str(error)
        raise Failure(f"the editor can't be used: {reason}; check $VISUAL and $EDITOR") from None
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        path.write_text(text, encoding="utf-8")
        raise Failure(
            "nothing is saved: the editor has removed the file; check $VISUAL and $EDITOR"
        ) from None


def keep(text: str) -> str:
    """Write the text to a file that only this account reads, and return its path.

    Raises:
        Failure: it can't be written.
    """
    try:
        descriptor, path = tempfile.mkstemp(prefix="tracker-", suffix=".txt")
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        message = f"no file for the editor can be written: {error.strerror}; set TMPDIR"
        raise Failure(message) from None
    return path
