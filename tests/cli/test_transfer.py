"""The verbs `export` and `import`, with files and pipes."""

import csv
import json
import signal
import socket
import subprocess

import pytest

from command_line import Tracker
from helpers import PATIENCE, ROOT, wait_for


def test_an_export_comes_back_by_an_import(tracker: Tracker) -> None:
    tracker.add("pallets/flask#3", "One", "+a", "due:2030-01-02")
    tracker.add("moby/moby", "Two")
    done = tracker("export", "all.jsonl")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.endswith("all.jsonl: 2 tasks.\n")
    assert tracker("export").stdout == (tracker.home / "all.jsonl").read_text()
    assert tracker("rm", "--all", "--status", "open", "-q").returncode == 0
    dry = tracker("import", "all.jsonl", "--dry-run")
    assert (dry.returncode, dry.stderr) == (0, "2 tasks would be created.\n")
    assert tracker("list", "-q").stdout == ""
    assert tracker("import", "all.jsonl").stderr == "2 tasks created.\n"
    assert len(tracker("list", "-q").stdout.split()) == 2


def test_an_export_has_filters_and_formats(tracker: Tracker) -> None:
    tracker.add("pallets/flask", "One", "+a", "+b")
    tracker.add("moby/moby", "Two")
    assert json.loads(tracker("export", "--tag", "a").stdout)["title"] == "One"
    assert tracker("export", "a.csv", "--tag", "a").returncode == 0
    with (tracker.home / "a.csv").open(newline="") as file:
        (row,) = csv.DictReader(file)
    assert (row["title"], row["tags"]) == ("One", "a\nb")


def test_an_existing_file_is_kept_without_force(tracker: Tracker) -> None:
    file = tracker.home / "tasks.jsonl"
    file.write_text("mine")
    done = tracker("export", "tasks.jsonl")
    assert (done.returncode, file.read_text()) == (1, "mine")
    assert done.stderr == f"error: {file} exists; use --force to overwrite it\n"
    assert tracker("export", "tasks.jsonl", "--force").returncode == 0
    assert file.read_text() == ""
    assert not list(tracker.home.glob(".tasks*"))
    assert tracker("export", "no/folder/x").returncode == 1


def test_an_export_replaces_no_link_and_no_folder(tracker: Tracker) -> None:
    link = tracker.home / "tasks.jsonl"
    link.symlink_to("nothing")
    done = tracker("export", str(link))
    said = f"error: {link} exists; use --force to overwrite it\n"
    assert (done.returncode, done.stderr, link.is_symlink()) == (1, said, True)
    done = tracker("export", str(tracker.home))
    said = f"error: {tracker.home} is a folder; name a file in it\n"
    assert (done.returncode, done.stderr) == (1, said)


def test_invalid_lines_are_told_by_their_number(tracker: Tracker) -> None:
    text = "pallets/flask Read\nnonsense \x1b here\n"
    done = tracker("import", "-", typed=text)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("line 2: repository: Must be owner/name")
    assert "\x1b" not in done.stderr
    assert done.stderr.endswith("\n0 tasks created.\n")
    skipped = tracker("import", "-", "--skip-invalid", "--json", typed=text)
    assert skipped.returncode == 1
    assert json.loads(skipped.stdout)["created"] == 1
    assert "absent can't be read: No such file" in tracker("import", "absent").stderr


def test_with_no_service_a_transfer_works_too(
    tracker: Tracker, environment: dict[str, str]
) -> None:
    alone = {**environment, "PORT": "1"}
    assert (
        tracker("import", "-", typed="pallets/flask One\n", **alone).stderr == "1 task created.\n"
    )
    (tracker.home / "one.txt").write_text("moby/moby Two\n")
    assert tracker("import", "one.txt", **alone).stderr == "1 task created.\n"
    lines = tracker("export", **alone).stdout.splitlines()
    assert [json.loads(line)["title"] for line in lines] == ["One", "Two"]


def test_a_pipe_is_imported_like_a_file(tracker: Tracker) -> None:
    done = tracker.process("import", "/dev/stdin", typed="pallets/flask One\n")
    assert (done.returncode, done.stderr) == (0, "1 task created.\n")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_an_export_that_is_stopped_leaves_no_file(tracker: Tracker, number: signal.Signals) -> None:
    head = b"HTTP/1.1 200 OK\r\nX-Total-Count: 2\r\nContent-Length: "
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        process = subprocess.Popen(
            tracker.command("export", "all.jsonl"),
            cwd=ROOT,
            env=tracker.environment | {"TRACKER_URL": url},
            stderr=subprocess.PIPE,
            text=True,
        )
        connection, _ = server.accept()
        with connection:
            for body in (b"2\r\n\r\n[]", b"99\r\n\r\n{}\n"):
                connection.recv(65536)
                connection.sendall(head + body)
            wait_for(lambda: bool(list(tracker.home.glob(".all*"))))
            process.send_signal(number)
            _, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (128 + number, "")
    assert list(tracker.home.glob("*all*")) == []


def test_a_refused_import_shows_the_cursor_again(tracker: Tracker) -> None:
    (tracker.home / "one.txt").write_text("pallets/flask One\n" * 200)
    code, screen = tracker.on_terminal(
        "import", "one.txt", TRACKER_URL="http://127.0.0.1:1", TERM="xterm"
    )
    assert code == 5
    assert screen.count("\x1b[?25l") == screen.count("\x1b[?25h") > 0
