"""The daily verbs: clients of the HTTP API, which import no more than they need.

A new verb is a function with `@verb` in the module of its kind, and a line in `MODULES`.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib import import_module
from typing import Any, NoReturn

import click

from .failures import Exit
from .output import discard_output, unwritable

MODULES = {
    "add": "writing",
    "list": "reading",
    "show": "reading",
    "edit": "editing",
    "start": "writing",
    "done": "writing",
    "reopen": "writing",
    "rm": "writing",
    "open": "reading",
    "undo": "undoing",
    "refresh": "refreshing",
    "changes": "reading",
    "repos": "reading",
    "export": "transfer",
    "import": "transfer",
    "completion": "completion",
}


COMPLETE = "_TRACKER_COMPLETE"  # set by the scripts of `completion`


class Verb(click.Command):
    """A command whose help ends with examples."""

    def __init__(self, *args: Any, examples: Sequence[str] = (), **options: Any) -> None:
        super().__init__(*args, **options)
        self.examples = examples

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; an option may be spelled as the API's parameter, with `_`."""
        names = {name for param in self.params for name in param.opts}
        end = args.index("--") if "--" in args else len(args)
        for number, word in enumerate(args[:end]):
            if word.startswith("--"):
                name, equals, value = word.partition("=")
                if name.replace("_", "-") in names:  # a value may begin with -- too
                    args[number] = name.replace("_", "-") + equals + value
        return super().parse_args(ctx, args)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the examples as they can be typed."""
        program = ctx.find_root().info_name
        with formatter.section("Examples"):
            for example in self.examples:
                line = example.format(program=program)
                formatter.write(f"{'':{formatter.current_indent}}{program} {line}\n")


def verb(name: str, *examples: str, **options: Any) -> Callable[..., Verb]:
    """Return a decorator that turns a function into a verb."""
    return click.command(name, cls=options.pop("cls", Verb), examples=examples, **options)


class Verbs(click.Group):
    """The verbs; the module of one is imported when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of the help."""
        return list(MODULES)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a verb, or None if there is none of this name."""
        if cmd_name not in MODULES:
            return None
        module = import_module(f".{MODULES[cmd_name]}", __package__)
        command: click.Command = getattr(module, f"{cmd_name}_verb")
        return command

    def invoke(self, ctx: click.Context) -> Any:
        """Run a verb; it is done where the reader of its output has closed the pipe.

        click would exit with 1: https://github.com/pallets/click/blob/8.5.1/src/click/core.py#L1603
        """
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            discard_output()
            return Exit.DONE


verbs = Verbs("tracker", context_settings={"help_option_names": ["-h", "--help"]})


def program() -> str:
    """Return how the command line was called."""
    return click.get_current_context().find_root().info_name or "tracker"


def main(name: str, arguments: list[str]) -> NoReturn:
    """Run a verb, and exit with one of the codes in `Exit`."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) == signal.SIG_DFL:  # which would leave temporary files behind
            signal.signal(number, lambda number, _: sys.exit(128 + number))
    if sys.stdin:
        sys.stdin.reconfigure(errors="surrogateescape")  # type: ignore[union-attr]
    for stream in (sys.stdout, sys.stderr):
        # A sign that the locale lacks must not end a list in the middle.
        errors = "replace" if stream.isatty() else "backslashreplace"
        stream.reconfigure(errors=errors)  # type: ignore[union-attr]
    sys.exit(_run(name, arguments))


def _run(name: str, arguments: list[str]) -> int:
    try:
        result = verbs.main(arguments, prog_name=name, complete_var=COMPLETE, standalone_mode=False)
        with suppress(BrokenPipeError):
            sys.stdout.flush()
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return Exit.INTERRUPTED
    except OSError as error:
        failure = unwritable(error)
        failure.show()
        return failure.exit_code
    finally:
        try:
            sys.stdout.flush()
        except OSError:
            discard_output()  # or the interpreter's own flush at the end would fail
    return result if isinstance(result, int) else Exit.DONE
