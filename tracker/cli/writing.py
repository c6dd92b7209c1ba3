"""Verbs that create, change and delete tasks: `add`, `start`, `done`, `reopen` and `rm`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import date
from typing import Any

import click

from ..tasks.phrases import count, sentence
from ..tasks.tokens import END, read_tokens
from . import services
from .client import Client
from .failures import Exit, Failure, Failures, Refused
from .filters import UNFINISHED, Selection, selection_options
from .journal import Journal
from .output import Output, Row, output_options, say
from .reading import plain_task
from .reread import reread_changed
from .verbs import Verb, program, verb

ASKED_FROM = 3  # tasks chosen by filters; fewer are changed without a question
ATTEMPTS = 3  # of a change that others may overtake


class Words(Verb):
    """A verb whose words may follow `--`, which click would drop."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Keep the first `--` as a word."""
        if END in args:
            args.insert(args.index(END), END)
        return super().parse_args(ctx, args)


@verb(
    "add",
    "add pallets/flask Try 3.2 on staging +upgrade due:fri '!high'",
    "add pallets/flask#2500 Read this -q",
    "add - < tasks.txt",
    cls=Words,
)
@click.argument("repository")
@click.argument("words", nargs=-1, metavar="TITLE...")
@click.option("--description", help="A longer text.")
@click.option("--issue", type=int, metavar="N", help="Number of an issue or pull request.")
@click.option(
    "--metadata",
    type=click.Choice(["required", "optional"]),
    default="required",
    help="optional: store the task where GitHub can't respond, too.",
)
@output_options
def add_verb(
    repository: str, words: tuple[str, ...], metadata: str, output: Output, **fields: Any
) -> None:
    r"""Create a task on a repository: owner/name, or any URL of it or of an issue.

    In the title, +tag, due:WHEN and !low, !normal or !high are tokens. A backslash before a token
    keeps it as text, and so does -- before all words. WHEN is a date, today, tomorrow, a weekday,
    +3d, +2w or none.

    With - instead of a repository, each line of standard input is a task.
    """
    if repository == END and words:  # all words are text, the repository too
        repository, words = words[0], (END, *words[1:])
    if repository == END:
        raise click.UsageError("Missing argument 'REPOSITORY'.")
    if repository == "-" and words:
        raise click.UsageError("with -, standard input has the titles")
    set_fields = {name: value for name, value in fields.items() if value is not None}
    lines = _lines() if repository == "-" else iter([(0, [repository, *words])])
    client = services.find()
    failures = Failures()
    with Journal(client.place, "add") as journal:

        def created() -> Iterator[Row]:
            for number, (name, *title) in lines:
                with failures.of(f"line {number}" if number else ""):
                    task = _create(client, _read(name, title) | set_fields, metadata)
                    journal.created(task)
                    yield task

        output.lines(created(), sentence, plain_task)
    failures.end()


def _lines() -> Iterator[tuple[int, list[str]]]:
    """Return the words of each line of standard input that is not blank, with its number."""
    for number, line in enumerate(sys.stdin, 1):
        if words := line.split():
            yield number, words


def _create(client: Client, fields: Row, metadata: str) -> Row:
    try:
        return client.create(fields, metadata=metadata)
    except Refused as error:
        if error.reason.startswith("github_") and metadata == "required":
            error.text += " With --metadata optional, the task is created all the same."
        raise


def _read(repository: str, words: list[str]) -> dict[str, Any]:
    try:
        typed = read_tokens(words, date.today())
    except ValueError as error:
        raise Failure(str(error), Exit.USAGE) from None
    if not typed.title:
        raise Failure(f"a title is missing after {repository}", Exit.USAGE)
    return {"repository": repository, "title": typed.title, **typed.fields}


def confirm_option(function: Any) -> Any:
    """Add `--yes`."""
    text = f"Ask nothing where filters select {ASKED_FROM} tasks or more."
    return click.option("-y", "--yes", is_flag=True, help=text)(function)


def confirm(question: str, number: int, yes: bool) -> bool:
    """Ask before filters change many tasks; return whether that took an answer.

    Raises:
        Failure: the answer is no, or nobody can be asked.
    """
    if yes or number < ASKED_FROM:
        return False
    if not sys.stdin.isatty():
        raise Failure(f"{count(number, 'task')} would be changed; add --yes", Exit.USAGE)
    if not click.confirm(question, err=True):
        raise Failure("nothing is changed")
    return True


def changed(client: Client, number: int, fields: Row | None, journal: Journal) -> Row:
    """Change or delete a task by its id, also after others have changed it; return the result."""
    for attempt in range(ATTEMPTS):
        task = client.task(number)
        if fields is not None and fields.items() <= task.items():
            return task
        journal.changing(task, fields)
        try:
            with journal.sending(task):
                if fields is not None:
                    task = client.change(task, fields)
                else:
                    client.delete(task)
        except Refused as error:
            if error.exit_code != Exit.CHANGED or attempt == ATTEMPTS - 1:
                raise
        else:
            return task
    raise AssertionError("the last attempt raises")


def apply(
    selection: Selection,
    statuses: tuple[str, ...],
    fields: Row | None,
    words: tuple[str, str],
    output: Output,
    yes: bool,
) -> None:
    """Change or delete (None) tasks, and print them; `words` are those of question and report."""
    if selection.empty:
        raise click.UsageError("which tasks? Take ids or filters; no filter at all is refused")
    client, failures = services.find(), Failures()
    with Journal(client.place, click.get_current_context().info_name or "") as journal:
        if not selection.ids:
            _apply_to_all(client, selection, statuses, fields, words, output, yes, journal)
            return

        def tasks() -> Iterator[Row]:
            for number in dict.fromkeys(selection.ids):
                with failures.of(f"#{number}" if len(selection.ids) > 1 else ""):
                    yield changed(client, number, fields, journal)

        ending = " · deleted" if fields is None else ""
        output.lines(tasks(), lambda task: sentence(task) + ending, plain_task)
    failures.end()


def _apply_to_all(
    client: Client,
    selection: Selection,
    statuses: tuple[str, ...],
    fields: Row | None,
    words: tuple[str, str],
    output: Output,
    yes: bool,
    journal: Journal,
) -> None:
    """Change the tasks that the filters select by one request, so all of them or none."""
    ask, report = words
    query = selection.filters(statuses)
    tasks = selection.read(client, statuses)
    if not tasks:
        say("No tasks.")
        return
    if confirm(ask.format(count(len(tasks), "task")), len(tasks), yes):
        asked = {task["id"] for task in tasks}
        tasks = selection.read(client, statuses)  # an answer may take long
        if {task["id"] for task in tasks} != asked:
            message = "the filters select other tasks now; list them again"
            raise Failure(message, Exit.CHANGED)
    for task in tasks:
        journal.changing(task, fields)
    method = "DELETE" if fields is None else "PATCH"
    query = {**query, "expect": len(tasks)}
    with journal.sending(*tasks):
        answer = client.send(method, "/tasks", query, json=fields).object()
    if not answer["changed"]:
        journal.drop(*tasks)
    if not output.on_terminal:
        if fields is not None and output.format != "ids":
            tasks = reread_changed(client, tasks, fields)
        output.lines(tasks, sentence, plain_task)
    say(f"{answer['changed']:,} {report}. Undo with: {program()} undo")


def status_verb(name: str, status: str, statuses: tuple[str, ...], ask: str, report: str) -> Verb:
    """Return the verb that gives tasks a status."""

    @verb(name, f"{name} 1", f"{name} 1 2 -q", f"{name} --tag upgrade --yes")
    @selection_options
    @confirm_option
    @output_options
    def run(selection: Selection, yes: bool, output: Output) -> None:
        apply(selection, statuses, {"status": status}, (ask, report), output, yes)

    shown = " or ".join(statuses).replace("_", " ")
    run.help = f"{ask.format('tasks')[:-1]}. Filters select those that are {shown}."
    return run


start_verb = status_verb("start", "in_progress", ("open",), "Start {}?", "started")
done_verb = status_verb("done", "done", UNFINISHED, "Mark {} done?", "done")
reopen_verb = status_verb("reopen", "open", ("done",), "Reopen {}?", "reopened")


@verb("rm", "rm 1", "rm 2 3 -q", "rm --tag upgrade --yes")
@selection_options
@confirm_option
@output_options
def rm_verb(selection: Selection, yes: bool, output: Output) -> None:
    """Delete tasks. Filters select unfinished ones, unless --status or --all says otherwise."""
    apply(selection, UNFINISHED, None, ("Delete {}?", "deleted"), output, yes)
