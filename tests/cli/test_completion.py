"""The scripts of `completion`, in the shells that the machine has."""

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import ROOT

SCRIPTS = {
    "bash": """COMP_WORDS=(tracker list --status ""); COMP_CWORD=3
_tracker_completion tracker; printf '%s\\n' "${COMPREPLY[@]}" """,
    "zsh": """words=(tracker list --status ""); CURRENT=4; _tracker_completion""",
    "fish": """complete -C "tracker list --status " """,
}
# Completion has these builtins in zsh; the last argument names an array with what is offered.
BUILTINS = {"zsh": "compdef() { :; }; compadd() { print -l ${(P)@[-1]}; }\n"}


@pytest.mark.parametrize("shell", SCRIPTS)
def test_a_shell_completes_the_words_of_a_verb(shell: str, tmp_path: Path) -> None:
    if shutil.which(shell) is None:
        pytest.skip(f"completing in {shell} needs {shell}")
    call = f"{sys.executable} -m tracker.cli tracker"
    script = subprocess.check_output([*call.split(), "completion", shell], cwd=ROOT, text=True)
    launcher = f"python3 {shlex.quote(str(ROOT / 'tracker.py'))}"
    assert script.count(launcher) == 2
    script = BUILTINS.get(shell, "") + script.replace(launcher, call) + SCRIPTS[shell]
    done = subprocess.run(
        [shell, "-c", script],
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert {"open", "in_progress", "done"} <= set(done.stdout.split()), done.stderr
