"""Undo, the editor, and conflicts with changes of others."""

import os
import stat
import sys
import tempfile
from pathlib import Path

import pytest

from command_line import Tracker

STATE = Path(".local/state/github-task-tracker")
FIELDS = ("title", "description", "status", "priority", "tags", "due_date", "repository", "issue")


def fields(tracker: Tracker, number: int) -> list[object]:
    task = tracker.task(number)
    return [task[name] for name in FIELDS]


@pytest.mark.parametrize(
    "words",
    [
        ["start"],
        ["done"],
        ["edit", "--set-title", "x", "--set-due", "none", "--add-tag", "y", "--remove-tag", "B"],
        ["edit", "--set-repository", "moby/moby", "--set-description", "long"],
    ],
)
def test_a_change_is_undone(tracker: Tracker, words: list[str]) -> None:
    number = tracker.add("pallets/flask#3", "One", "+a", "+b", "due:fri", "!low")
    before = fields(tracker, number)
    assert tracker(*words, str(number)).returncode == 0
    assert fields(tracker, number) != before
    done = tracker("undo")
    assert (done.returncode, done.stderr) == (0, f"Undid {words[0]}: 1 task.\n")
    assert fields(tracker, number) == before


def test_undo_goes_back_command_by_command(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    tracker("done", str(number))
    tracker("rm", str(number))
    back = tracker("undo")
    (restored,) = tracker("list", "--all", "-q").stdout.split()
    assert back.stderr.startswith(f"#{number} is back as #{restored}: One\n")
    assert tracker("undo").returncode == 0
    assert tracker.task(int(restored))["status"] == "open"
    assert tracker("undo").returncode == 0
    assert tracker("list", "--all", "-q").stdout == ""
    nothing = tracker("undo")
    assert (nothing.returncode, nothing.stderr) == (1, "Nothing to undo.\n")


def test_a_change_of_many_is_undone_but_for_what_changed_since(tracker: Tracker) -> None:
    numbers = [tracker.add("pallets/flask", title, "+many") for title in "abc"]
    assert tracker("edit", "--tag", "many", "--add-tag", "new", "--yes").returncode == 0
    path = f"/tasks/{numbers[1]}"
    tracker.service.call("PATCH", path, json={"title": "theirs"})
    done = tracker("undo")
    assert done.returncode == 3
    assert done.stderr.startswith(f"#{numbers[1]} was changed since, and is left: ")
    assert [tracker.task(number)["tags"] for number in numbers] == [
        ["many"],
        ["many", "new"],
        ["many"],
    ]


def test_a_refused_command_leaves_nothing_to_undo(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    assert tracker("edit", str(number), "--set-repository", "nobody/nothing").returncode == 1
    assert tracker("undo").stderr == "Undid add: 1 task.\n"


def test_only_the_account_can_read_the_journal(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    tracker("done", str(number))
    tracker("undo")  # which writes the file of the first command again
    (file,) = (tracker.home / STATE).iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700


def test_the_journal_keeps_the_last_twenty_commands(tracker: Tracker) -> None:
    state = tracker.home / STATE
    state.mkdir(parents=True)
    for number in range(30):
        (state / f"{number:020}.jsonl").write_text('{"url": "elsewhere"}\n')
    tracker.add("pallets/flask", "One")
    assert len(list(state.iterdir())) == 20
    assert tracker("undo").returncode == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_a_journal_of_another_account_is_refused(tracker: Tracker) -> None:
    number = str(tracker.add("pallets/flask", "One"))
    folder = tracker.home / STATE
    os.chown(folder, 1, -1)
    said = f"{folder} belongs to another account; set XDG_STATE_HOME\n"
    done = tracker("done", number)
    assert (done.returncode, tracker.task(int(number))["status"]) == (1, "open")
    assert done.stderr == f"error: the journal for undo can't be written: {said}"
    undone = tracker("undo")
    assert undone.returncode == 1
    assert undone.stderr == f"error: the journal can't be read: {said}"


def editor(tracker: Tracker, script: str) -> dict[str, str]:
    """Return variables with which `script` edits the text in $1."""
    path = tracker.home / "editor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o700)
    return {"EDITOR": str(path), "VISUAL": "", "TMPDIR": str(tracker.home)}


def test_the_editor_changes_a_task(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One", "+a")
    script = """sed -i 's/^title: .*/title: Two/; s/^due_date:.*/due_date: 2030-01-02/' "$1"
printf 'A text\\n\\n# with lines\\n' >> "$1"; touch -d '2 days' "$1" """
    assert tracker("edit", str(number), **editor(tracker, script)).returncode == 0
    task = tracker.task(number)
    assert (task["title"], task["due_date"]) == ("Two", "2030-01-02")
    assert (task["description"], task["tags"]) == ("A text\n\n# with lines", ["a"])
    before = task["version"]
    done = tracker("edit", str(number), **editor(tracker, "true"))
    assert (done.returncode, done.stderr) == (0, "Nothing was changed.\n")
    assert tracker.task(number)["version"] == before


def test_a_refused_text_opens_again_with_the_reason(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    script = """cp "$1" "$1.seen"
if grep -q '^# NOT SAVED: title' "$1"; then sed -i 's/^title:.*/title: Good/' "$1"
else sed -i 's/^title:.*/title:/; s/^status:.*/status: done/' "$1"; fi
touch -d '2 days' "$1" """
    assert tracker("edit", str(number), **editor(tracker, script)).returncode == 0
    assert (tracker.task(number)["title"], tracker.task(number)["status"]) == ("Good", "done")


def test_a_text_that_can_not_be_saved_is_kept(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    script = """grep -q NOT "$1" && exit 0
sed -i 's/^title:.*/titel: my words/' "$1"; touch -d '2 days' "$1" """
    done = tracker("edit", str(number), **editor(tracker, script))
    assert done.returncode == 1
    path = Path(done.stderr.rpartition("your text is in ")[2].strip())
    assert "titel: my words" in path.read_text()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_refused_text_that_is_left_as_it_is_ends_with_the_reason(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    same = tracker.home / "same.txt"
    leave = """grep -q NOT "$1" && exit 0
sed -i 's/^title:.*/title:/' "$1"; touch -d '2 days' "$1" """
    rewrite = f"""test -e {same} || sed 's/^title:.*/title:/' "$1" > {same}
cp {same} "$1" """
    for script in (leave, rewrite):
        done = tracker("edit", str(number), **editor(tracker, script))
        assert done.returncode == 1
        assert done.stderr.startswith("error: nothing is saved: title: ")
        path = Path(done.stderr.rpartition("your text is in ")[2].strip())
        assert "title:\n" in path.read_text()


@pytest.mark.parametrize(
    ("editor", "said"),
    [
        ("rm", "nothing is saved: the editor has removed the file; check $VISUAL and $EDITOR"),
        (
            "/nope",
            "the editor can't be used: /nope: No such file or directory; check $VISUAL and $EDITOR",
        ),
        ("false", "the editor can't be used: false: Editing failed; check $VISUAL and $EDITOR"),
        ("'vim", "the editor can't be used: No closing quotation; check $VISUAL and $EDITOR"),
    ],
)
def test_an_editor_that_can_not_be_used_is_one_line(
    tracker: Tracker, editor: str, said: str
) -> None:
    number = str(tracker.add("pallets/flask", "One"))
    done = tracker("edit", number, EDITOR=editor, VISUAL="", TMPDIR=str(tracker.home))
    assert (done.returncode, done.stderr) == (1, f"error: {said}\n")
    assert not list(tracker.home.glob("tracker-*.txt"))


def test_an_edit_without_room_for_its_file_is_one_line(
    tracker: Tracker, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = str(tracker.add("pallets/flask", "One"))
    monkeypatch.setattr(tempfile, "tempdir", str(tracker.home / "none"))
    done = tracker("edit", number, EDITOR="true")
    said = "no file for the editor can be written: No such file or directory; set TMPDIR"
    assert (done.returncode, done.stderr) == (1, f"error: {said}\n")


def conflict(tracker: Tracker, number: int) -> dict[str, str]:
    """Return an editor that loses a race against another change."""
    url = f"http://127.0.0.1:{tracker.service.port}/tasks/{number}"
    script = f"""\
{sys.executable} -c 'import requests
requests.patch("{url}", json={{"title": "Theirs", "priority": "low"}})'
sed -i 's/^title:.*/title: Mine/' "$1"; touch -d '2 days' "$1" """
    return editor(tracker, script)


def test_a_conflict_is_shown_field_by_field(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    done = tracker("edit", str(number), **conflict(tracker, number))
    assert done.returncode == 3
    shown = " ".join(done.stderr.split())
    assert "title was: One theirs: Theirs yours: Mine" in shown
    assert "priority was: normal theirs: low" in shown
    assert tracker.task(number)["title"] == "Theirs"
    path = Path(done.stderr.rpartition("your text is in ")[2].strip())
    assert "title: Mine" in path.read_text()


def test_a_conflict_can_be_answered_on_a_terminal(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    code, screen = tracker.on_terminal(
        "edit", str(number), typed="y\n", **conflict(tracker, number)
    )
    assert code == 0, screen
    assert "Save yours over theirs?" in screen
    assert (tracker.task(number)["title"], tracker.task(number)["priority"]) == ("Mine", "low")


def test_what_a_change_of_many_left_as_it_was_is_not_undone(tracker: Tracker) -> None:
    numbers = [tracker.add("pallets/flask", title, "+many") for title in "abc"]
    tracker("edit", str(numbers[1]), "--set-priority", "high", "--add-tag", "New")
    words = ["--set-priority", "high", "--add-tag", "new", "--yes"]
    assert tracker("edit", "--tag", "many", *words).returncode == 0
    tracker.service.call("PATCH", f"/tasks/{numbers[1]}", json={"priority": "low"})
    done = tracker("undo")
    assert (done.returncode, done.stderr) == (0, "Undid edit: 2 tasks.\n")
    priorities = [tracker.task(number)["priority"] for number in numbers]
    assert priorities == ["normal", "low", "normal"]


def test_what_the_service_refused_is_not_undone(tracker: Tracker) -> None:
    one, two = (tracker.add("pallets/flask", title) for title in ("One", "Two"))
    tags = [word for number in range(20) for word in ("--add-tag", f"t{number}")]
    tracker.service.call("PATCH", f"/tasks/{two}", json={"tags": ["full"]})
    assert tracker("edit", str(one), str(two), *tags, "--set-due", "fri").returncode == 1
    tracker.service.call("PATCH", f"/tasks/{two}", json={"due_date": "2030-01-02"})
    done = tracker("undo")
    assert (done.returncode, done.stderr) == (0, "Undid edit: 1 task.\n")
    assert tracker.task(two)["due_date"] == "2030-01-02"


def test_a_tag_in_another_spelling_leaves_nothing_to_undo(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One", "+a")
    assert tracker("edit", str(number), "--add-tag", "A").returncode == 0
    assert tracker("undo").stderr == "Undid add: 1 task.\n"


def test_an_undo_needs_the_values_that_were_set(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    tracker("edit", str(number), "--set-priority", "high")
    (file,) = sorted((tracker.home / STATE).iterdir())[1:]
    version = tracker.task(number)["version"]
    tracker.service.call("PATCH", f"/tasks/{number}", json={"priority": "low"})
    # As if the change had not arrived, and the other one had made the version in its place.
    text = file.read_text()
    assert f'"version": {version}, "before"' in text
    file.write_text(text.replace(f'"version": {version}, ', f'"version": {version + 1}, ', 1))
    done = tracker("undo")
    assert done.returncode == 3
    assert f"#{number} was changed since, and is left: " in done.stderr
    assert tracker.task(number)["priority"] == "low"


def test_a_text_in_another_encoding_is_kept(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    script = r"""printf 'title: Gr\366\n' > "$1" """
    done = tracker("edit", str(number), **editor(tracker, script))
    assert done.returncode == 1
    path = Path(done.stderr.rpartition("your text is in ")[2].strip())
    assert path.read_bytes() == b"title: Gr\xf6\n"


def test_a_text_is_kept_at_an_interrupted_question(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    code, screen = tracker.on_terminal(
        "edit", str(number), typed="\x04", **conflict(tracker, number)
    )
    assert code == 130
    path = Path("".join(screen.rpartition("your text is in ")[2].split()))
    assert "title: Mine" in path.read_text()


def test_a_value_that_looks_like_an_option_stays_as_typed(tracker: Tracker) -> None:
    number = tracker.add("pallets/flask", "One")
    assert tracker("edit", str(number), "--set_title", "--max_size in f").returncode == 0
    assert tracker.task(number)["title"] == "--max_size in f"
