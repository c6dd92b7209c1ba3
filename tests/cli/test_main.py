"""The command line as `python3 tracker.py` runs it, and as `flask` does."""

import subprocess
import sys

import pytest

from helpers import PATIENCE, ROOT, UNSET
from marks import slow

PROGRAM = "python3 some/tracker.py"


def call(*words: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a module in the checkout, in an environment of its own."""
    return subprocess.run(
        [sys.executable, "-m", *words],
        cwd=ROOT,
        env={**UNSET, "PATH": "", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


def test_usage_and_remedies_repeat_the_command_as_typed(empty_database_url: str) -> None:
    done = call("tracker.cli", PROGRAM, "db", "status", DATABASE_URL=empty_database_url)
    assert done.returncode == 1
    assert done.stderr == f"Run `{PROGRAM} db init` to bring the schema up to date.\n"
    assert call("tracker.cli", PROGRAM, "db", "-h").stdout.startswith(f"Usage: {PROGRAM} db ")


@pytest.mark.parametrize("command", ["run", slow("shell"), slow("routes")])
def test_the_commands_of_flask_are_not_ours(command: str) -> None:
    done = call("tracker.cli", PROGRAM, command)
    assert done.returncode == 2
    assert f"No such command '{command}'" in done.stderr


def test_flask_run_is_refused() -> None:
    done = call("flask", "run", "--port", "0")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "error: `flask run` starts no database; run: python3 tracker.py\n"


def test_wrong_settings_are_named_at_once() -> None:
    wrong = {"PORT": "x", "WEB_CONCURRENCY": "auto", "API_TOKEN": "hunter2,,x"}
    done = call("tracker.cli", PROGRAM, "doctor", "--settings", **wrong)
    assert (done.returncode, done.stdout) == (1, "")
    assert [line.split()[:3] for line in done.stderr.splitlines()] == [
        ["error:", name, "takes"] for name in ("API_TOKEN", "PORT", "WEB_CONCURRENCY")
    ]
    assert "hunter2" not in done.stderr
