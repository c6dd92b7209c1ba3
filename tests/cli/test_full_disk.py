"""Commands whose output can't be written, as on a full disk: one line, and no traceback."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from command_line import Tracker
from helpers import PATIENCE, ROOT, UNSET

FULL = Path("/dev/full")
REMEDY = "free some space or write it elsewhere"
ERROR = f"error: can't write the output: No space left on device; {REMEDY}\n"
Done = subprocess.CompletedProcess[str]

pytestmark = pytest.mark.skipif(not FULL.exists(), reason="needs /dev/full")


def full(command: list[str], environment: dict[str, str], all_output: bool = False) -> Done:
    """Run a program with its output on a full disk."""
    with FULL.open("w") as disk:
        return subprocess.run(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=disk,
            stderr=disk if all_output else subprocess.PIPE,
            text=True,
            timeout=PATIENCE,
        )


@pytest.mark.parametrize(
    "words",
    [
        "list",
        "list --json --limit 0",
        "list --help",
        "show 1",
        "repos",
        "export",
        "completion bash",
        "changes",
    ],
)
def test_a_verb_reports_a_full_disk_in_one_line(tracker: Tracker, words: str) -> None:
    tracker("add", "-", typed="pallets/flask t\n" * 40)
    number = tracker("list", "-q", "--limit", "1").stdout.strip()
    if words == "changes":
        tracker.github.rename("pallets/flask", "pallets/flask-renamed")
        assert tracker("refresh", "--all").returncode == 0
    command = tracker.command(*words.replace("show 1", f"show {number}").split())
    done = full(command, tracker.environment)
    assert (done.returncode, done.stderr) == (1, ERROR)


@pytest.mark.parametrize("all_output", [False, True])
def test_a_full_disk_stops_no_change(tracker: Tracker, all_output: bool) -> None:
    ids = [tracker.add("pallets/flask", title) for title in "ab"]
    done = full(tracker.command("done", *map(str, ids)), tracker.environment, all_output)
    assert done.returncode == 1
    assert all_output or done.stderr == ERROR
    assert [tracker.task(number)["status"] for number in ids] == ["done", "done"]
    added = full(tracker.command("add", "pallets/flask", "c"), tracker.environment, all_output)
    assert added.returncode == 1
    assert len(tracker("list", "-q").stdout.split()) == 1


@pytest.mark.parametrize("words", ["doctor --settings", "doctor", "db status", "db init"])
def test_a_command_reports_a_full_disk_in_one_line(empty_database_url: str, words: str) -> None:
    variables = {**UNSET, "PATH": "", "DATABASE_URL": empty_database_url, "GITHUB_CACHE": "memory"}
    done = full(Tracker.command(*words.split()), variables)
    assert (done.returncode, done.stderr) == (1, ERROR)


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_the_launcher_reports_a_full_disk_in_one_line(option: str) -> None:
    done = full([sys.executable, str(ROOT / "tracker.py"), option], dict(os.environ))
    assert (done.returncode, done.stderr) == (1, ERROR)
