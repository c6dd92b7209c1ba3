"""The verbs on a terminal: tables, colors, questions, and how they end."""

import json
import os
import signal
import subprocess
import time
from typing import Any

import psutil
import pytest

from command_line import Tracker
from helpers import PATIENCE, ROOT, wait_for


@pytest.mark.parametrize("columns", ["40", "80", "120"])
def test_a_table_keeps_to_the_width(tracker: Tracker, columns: str) -> None:
    tracker.add("pallets/flask", "基本イメージ" * 8, "due:tomorrow", "!high")
    tracker.add("moby/moby", "Replace the base image of every service that we have, and more")
    code, screen = tracker.on_terminal("list", columns=columns)
    assert code == 0
    lines = screen.splitlines()
    assert len(lines) == 3
    assert max(width(line.rstrip()) for line in lines) <= int(columns)
    if columns != "40":
        assert lines[0].split()[:5] == ["ID", "PRI", "DUE", "REPOSITORY", "★"]
        assert "tomorrow" in lines[2]
        assert "…" in lines[1] or columns == "120"


def test_a_narrow_table_with_statuses_leaves_room_for_titles(tracker: Tracker) -> None:
    title = "Try the new release on staging"
    number = str(tracker.add("angular/angular.js", title, "due:2030-01-02", "!high"))
    tracker("start", number)
    for columns, fields in ("80", []), ("120", ["★", "PUSHED"]):
        header, row = tracker.on_terminal("list", columns=columns)[1].splitlines()
        assert header.split() == ["ID", "PRI", "DUE", "STATUS", "REPOSITORY", *fields, "TITLE"]
        assert title[:22] in row


def width(text: str) -> int:
    from rich.cells import cell_len

    return cell_len(text)


def test_control_characters_are_shown_and_not_obeyed(tracker: Tracker) -> None:
    number = str(tracker.add("pallets/flask", "a\u202egnp.\u202cb"))
    description = {"description": "first\x1b[2Jline\nsecond\x9bline"}
    tracker.service.call("PATCH", f"/tasks/{number}", json=description)
    formats = [["list", each] for each in ("--json", "--jsonl", "--csv")]
    exports = [["export"], ["export", "--format", "csv"]]
    for words in (["list"], *formats, *exports, ["show", number], ["done", number]):
        _, screen = tracker.on_terminal(*words)
        assert "\\u202egnp" in screen
        assert not {"\x1b", "\x9b", "\u202e"} & set(screen)
    assert "first\\x1b[2Jline\nsecond\\x9bline" in tracker.on_terminal("show", number)[1]
    _, screen = tracker.on_terminal("export")
    assert json.loads(screen) == json.loads(tracker("export").stdout)
    assert "\u202egnp" in tracker("export").stdout


def test_colors_follow_the_terminal_and_the_options(tracker: Tracker) -> None:
    tracker.add("pallets/flask", "One", "!high")
    assert "\x1b[" not in tracker("list").stdout
    assert "\x1b[" not in tracker.on_terminal("list")[1]  # with NO_COLOR
    assert "\x1b[1;31mhigh" in tracker.on_terminal("list", NO_COLOR="")[1]
    assert "\x1b[" not in tracker.on_terminal("list", "--color", "never", NO_COLOR="")[1]
    assert "\x1b[" in tracker.on_terminal("list", "--color", "always")[1]


def test_a_task_is_one_sentence(tracker: Tracker) -> None:
    words = ["pallets/flask#9", "Try", "3.2", "+a", "+b", "due:tomorrow", "!low"]
    _, screen = tracker.on_terminal("add", *words)
    number, _, text = screen.strip().partition(" ")
    assert text == "Try 3.2 · pallets/flask#9 ★ 70k · due tomorrow · low · +a +b"
    _, screen = tracker.on_terminal("rm", number)
    assert screen.strip() == f"{number} {text} · deleted"


def test_a_question_is_asked_for_three_tasks_by_filter(tracker: Tracker) -> None:
    ids = [tracker.add("pallets/flask", title, "+many") for title in "abc"]
    code, screen = tracker.on_terminal("done", "--tag", "many", typed="n\n")
    assert code == 1
    assert "Mark 3 tasks done? [y/N]" in screen
    assert tracker.task(ids[0])["status"] == "open"
    code, screen = tracker.on_terminal("done", "--tag", "many", typed="y\n")
    assert code == 0
    assert screen.endswith("3 done. Undo with: tracker undo\n")
    assert tracker.on_terminal("reopen", *map(str, ids))[0] == 0  # ids are no question


def test_people_are_told_how_many_there_are(tracker: Tracker) -> None:
    tracker("add", "-", typed="pallets/flask t\n" * 4)
    _, screen = tracker.on_terminal("list", "--limit", "3")
    assert screen.splitlines()[-1] == "3 of 4 tasks; --limit 0 lists all"
    assert len(json.loads(tracker.on_terminal("list", "--json")[1])) == 4


def unread(tracker: Tracker, *words: str, typed: str = "", all_output: bool = False) -> Any:
    """Run a command whose output nobody reads."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        return subprocess.run(
            tracker.command(*words),
            cwd=ROOT,
            env=tracker.environment,
            input=typed,
            stdout=closed,
            stderr=closed if all_output else subprocess.PIPE,
            text=True,
        )


@pytest.mark.parametrize("words", [["list", "--json", "--limit", "0"], ["list", "-q"], ["export"]])
def test_a_closed_pipe_ends_a_list_without_a_traceback(tracker: Tracker, words: list[str]) -> None:
    tracker("add", "-", typed="pallets/flask t\n" * 40)
    done = unread(tracker, *words)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("all_output", [False, True])
def test_a_closed_pipe_stops_no_change(tracker: Tracker, all_output: bool) -> None:
    lines = "nonsense\n" + "pallets/flask t +a\n" * 3
    added = unread(tracker, "add", "-", typed=lines, all_output=all_output)
    ids = tracker("list", "-q").stdout.split()
    assert (added.returncode, len(ids)) == (1, 3)
    assert unread(tracker, "start", *ids, all_output=all_output).returncode == 0
    done = unread(tracker, "done", "--tag", "a", "--yes", all_output=all_output)
    assert (done.returncode, tracker("list").stdout) == (0, "")
    if not all_output:
        assert done.stderr == "3 done. Undo with: tracker undo\n"


def connections(pid: int) -> list[Any]:
    return psutil.Process(pid).net_connections("tcp4")


def test_ctrl_c_ends_a_verb_without_a_traceback(tracker: Tracker) -> None:
    process = subprocess.Popen(
        tracker.command("add", "faults/silent", "x"),
        cwd=ROOT,
        env=tracker.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for(lambda: bool(connections(process.pid)))
    time.sleep(0.5)  # the socket exists before the command knows it
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (130, "\n")


def test_a_locale_without_our_letters_ends_no_list(tracker: Tracker) -> None:
    tracker.add("pallets/flask", "Größe 漢字")
    latin = {"PYTHONIOENCODING": "latin-1", "PYTHONUTF8": "0"}
    assert tracker.on_terminal("list", **latin)[0] == 0
    done = tracker("list", "--json", **latin)
    assert json.loads(done.stdout)[0]["title"] == "Größe 漢字"


def test_repositories_and_changes_are_tables_too(tracker: Tracker) -> None:
    tracker.add("atom/atom", "One")
    tracker.github.rename("atom/atom", "atom-eco/atom")
    assert tracker("refresh", "--all").returncode == 0
    repositories = tracker.on_terminal("repos", columns="120")[1].splitlines()
    assert repositories[0].split()[:2] == ["REPOSITORY", "★"]
    assert repositories[1].split()[0] == "atom-eco/atom"
    changes = tracker.on_terminal("changes", columns="120")[1].splitlines()
    assert changes[0].split() == ["SEEN", "REPOSITORY", "CHANGE"]
    assert "atom/atom" in changes[1]
    assert "atom-eco/atom" in changes[1]


def test_several_tasks_are_shown_one_after_the_other(tracker: Tracker) -> None:
    ids = [str(tracker.add("pallets/flask", title)) for title in ("One", "Two")]
    screen = tracker.on_terminal("show", *ids)[1]
    assert "One" in screen.partition("\n\n")[0]
    assert screen.index("One") < screen.index("Two")


def test_open_starts_the_browser_or_says_why_not(tracker: Tracker) -> None:
    number = str(tracker.add("pallets/flask#5", "One"))
    assert (
        tracker("open", number, "--print").stdout == "https://github.com/pallets/flask/issues/5\n"
    )
    assert tracker.process("open", number, BROWSER="true").returncode == 0
    refused = tracker.process("open", number, BROWSER="false")
    assert (refused.returncode, "no browser can be started" in refused.stderr) == (1, True)
    assert tracker("import", "-", typed="git/git\n").returncode == 0
    pending = tracker("open", "--metadata-status", "pending")
    assert "has no page yet; its metadata were never fetched" in pending.stderr
