"""The verb `completion`."""

from __future__ import annotations

import shlex

import click
from click.shell_completion import get_completion_class

from ..config import ROOT
from .failures import Failure
from .verbs import COMPLETE, verb, verbs

NAME = "tracker"  # the command that the script defines
# Each script of click's calls a program of that name; ours is a function, which env can't call.
CALLS = {
    "bash": "=bash_complete $1",
    "zsh": f"=zsh_complete {NAME}",
    "fish": f"COMP_CWORD=(commandline -t) {NAME}",
}
ZSH_CHECK = f"    (( ! $+commands[{NAME}] )) && return 1\n"


@verb("completion", "completion bash", "completion zsh", "completion fish")
@click.argument("shell", type=click.Choice(list(CALLS)))
def completion_verb(shell: str) -> None:
    """Print a script that defines the command `tracker`, and completes it.

    For bash: eval "$(python3 tracker.py completion bash)" in ~/.bashrc.
    """
    kind = get_completion_class(shell)
    assert kind is not None
    source = kind(verbs, {}, NAME, COMPLETE).source()
    command = f"python3 {shlex.quote(str(ROOT / 'tracker.py'))}"
    call = CALLS[shell]
    if call not in source:
        raise Failure(f"this version of click completes {shell} in another way")
    source = source.replace(call, call.removesuffix(call.split()[-1]) + command)
    if shell == "fish":
        click.echo(f"function {NAME}; {command} $argv; end")
    else:
        click.echo(f'{NAME}() {{ {command} "$@"; }}')
    click.echo(source.replace(ZSH_CHECK, ""), nl=False)
