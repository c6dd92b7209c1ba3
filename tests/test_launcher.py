"""The launcher: its command line, and the environment that it creates or finds."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from helpers import PATIENCE, ROOT, members, wait_for
from launcher import (
    build_wheel,
    contents,
    copy_checkout,
    environment,
    first_starts,
    launch,
    new_checkout,
    program,
    reported,
)
from marks import slow
from tracker.cli.admin import commands
from tracker.cli.verbs import MODULES
from tracker.config import VERSION


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout that has been started before."""
    return copy_checkout(tmp_path)


def test_two_first_starts_create_one_environment_and_both_serve() -> None:
    folder, starts, _ = first_starts()
    assert [(done.returncode, done.stdout) for done in starts] == [
        (0, reported(folder, "wsgi:app"))
    ] * 2
    said = [line.split()[:2] for done in starts for line in done.stderr.splitlines()]
    assert sorted(said) == [["tracker:", w] for w in ("Creating", "Installing", "Waiting")]


def test_no_module_of_the_callers_folder_runs() -> None:
    folder, _, record = first_starts()
    # The caller's own Python reads PYTHONPATH before it reads the launcher.
    assert set(record.read_text().splitlines()) == {f"sitecustomize {folder / 'tracker.py'}"}


def test_a_later_start_installs_nothing(folder: Path) -> None:
    before = contents(folder / ".venv")
    start = time.monotonic()
    done = launch(folder)
    assert time.monotonic() - start < 3
    assert (done.returncode, done.stdout, done.stderr) == (0, reported(folder, "wsgi:app"), "")
    assert contents(folder / ".venv") == before


@pytest.mark.parametrize("option", ["--help", "-h", "help"])
def test_help_is_printed_and_nothing_installed(tmp_path: Path, option: str) -> None:
    folder = new_checkout(tmp_path / "project")
    done = launch(folder, option, WEB_CONCURRENCY="many")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"Usage: {program(folder)} ")
    assert "\n  doctor " in done.stdout
    assert not (folder / ".venv").exists()


def test_help_into_a_closed_pipe_prints_no_traceback(tmp_path: Path) -> None:
    folder = new_checkout(tmp_path)
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as closed:
        command = [sys.executable, "-u", str(folder / "tracker.py"), "--help"]
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (-signal.SIGPIPE, b"")


def test_help_of_a_command_installs_nothing(folder: Path, tmp_path: Path) -> None:
    new = new_checkout(tmp_path / "new")
    assert "\n  doctor " in launch(new, "db", "--help").stdout
    assert not (new / ".venv").exists()
    assert launch(folder, "db", "-h").stdout == reported(folder, program(folder), "db", "-h")


def test_help_lists_every_command_of_ours() -> None:
    listed = launch(ROOT, "--help").stdout.split("or not:\n")[1].split("\n\nOptions")[0]
    names = {command.name for command in commands}
    lines = [line for line in listed.splitlines() if line.startswith("  ")]
    assert {line.split()[0] for line in lines} == {"test", *names, *MODULES}


def test_the_version_is_printed_and_nothing_installed(tmp_path: Path) -> None:
    folder = new_checkout(tmp_path / "project")
    config = folder / "tracker" / "config.py"
    config.write_text(f"import absent\n{config.read_text()}")
    done = launch(folder, "--version")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"GitHub Task Tracker {VERSION}\n"
    assert not (folder / ".venv").exists()


@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("dcotor", "did you mean doctor?"),
        ("--unlock", "did you mean --unlocked?"),
        ("shell", "see {program} --help"),
        ("run", "{program}, without a command, serves"),
    ],
)
def test_an_unknown_command_is_refused_with_a_hint(tmp_path: Path, command: str, hint: str) -> None:
    folder = new_checkout(tmp_path / "project")
    done = launch(folder, command)
    assert (done.returncode, done.stdout) == (2, "")
    hint = hint.format(program=program(folder))
    assert done.stderr == f"error: unknown command {command}; {hint}\n"
    assert not (folder / ".venv").exists()


def test_control_characters_of_an_argument_are_shown_and_not_obeyed(tmp_path: Path) -> None:
    done = launch(new_checkout(tmp_path / "project"), "\x1b[31m\n\u202e")
    assert done.returncode == 2
    assert done.stderr.startswith("error: unknown command '\\x1b[31m\\n\\u202e'; see ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("value", ["auto", "1.5", "-1", "\u00b2", "1" * 5000])
def test_a_wrong_web_concurrency_is_refused_in_one_line(value: str) -> None:
    done = launch(first_starts()[0], WEB_CONCURRENCY=value)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr == f"error: WEB_CONCURRENCY takes a whole number from 1 to 64, not {value!r}\n"
    )


def test_web_concurrency_may_be_empty_or_padded(folder: Path) -> None:
    (folder / "gunicorn.py").write_text("import os; print(os.environ.get('WEB_CONCURRENCY'))")
    for value in ("", " ", " 3 "):
        assert launch(folder, WEB_CONCURRENCY=value).stdout == f"{value.strip() or None}\n"


def test_commands_go_to_the_package_and_tests_to_pytest(folder: Path) -> None:
    done = launch(folder, "db", "init", WEB_CONCURRENCY="auto")
    assert done.stdout == reported(folder, program(folder), "db", "init")
    done = launch(folder, "test", "-k", "a b")
    assert done.stdout == reported(folder, "-k", "a b")
    assert "Installing requirements-dev.lock" in done.stderr
    assert launch(folder, "test").stderr == launch(folder).stderr == ""


@pytest.mark.parametrize("stream", [0, 1, 2])
def test_a_closed_standard_stream_is_an_empty_one(folder: Path, stream: int) -> None:
    (folder / "tracker" / "cli.py").write_text(
        f"import os; os.fstat({stream}); open('seen', 'w').close()"
    )
    command = f"exec {stream}<&-; exec {program(folder)} list"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert (folder / "seen").exists()


def test_a_command_learns_the_folder_of_the_caller(folder: Path, tmp_path: Path) -> None:
    (folder / "tracker" / "cli.py").write_text("import os; print(os.environ['TRACKER_CWD'])")
    assert launch(folder, "db", cwd=str(tmp_path)).stdout == f"{tmp_path}\n"


@pytest.mark.parametrize("number", [signal.SIGTERM, slow(signal.SIGINT), slow(signal.SIGHUP)])
def test_a_start_that_is_cut_short_ends_pip(folder: Path, number: signal.Signals) -> None:
    (folder / "requirements.lock").write_text(build_wheel(folder))
    with socket.create_server(("127.0.0.1", 0)) as index:
        index.settimeout(PATIENCE)
        url = f"http://127.0.0.1:{index.getsockname()[1]}"
        process = subprocess.Popen(
            [sys.executable, str(folder / "tracker.py")],
            env=environment(folder, PIP_NO_INDEX="", PIP_INDEX_URL=url),
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            connection, _ = index.accept()
            (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
            assert process.wait(PATIENCE) == 128 + number
            assert not members(process.pid, folder)
            connection.close()
        finally:
            for left in members(process.pid, folder):
                left.kill()
            process.wait(PATIENCE)
    done = launch(folder)
    assert "Installing requirements.lock" in done.stderr
    assert done.stdout == reported(folder, "wsgi:app")


@pytest.mark.slow
def test_a_creation_that_was_killed_is_repeated(tmp_path: Path) -> None:
    folder = new_checkout(tmp_path / "project")
    process = subprocess.Popen(
        [sys.executable, str(folder / "tracker.py")],
        env=environment(folder),
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    wait_for((folder / ".venv" / "pyvenv.cfg").exists)
    process.kill()
    process.wait()
    done = launch(folder)
    assert (done.returncode, done.stdout) == (0, reported(folder, "wsgi:app"))
    assert [line.split()[1] for line in done.stderr.splitlines()] == [
        "Waiting",  # for the rest of the killed start, which still writes
        "Creating",
        "Installing",
    ]


@pytest.mark.slow
def test_an_environment_that_lost_its_python_is_recreated(folder: Path) -> None:
    python = folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(folder / "gone")
    done = launch(folder)
    assert "Creating" in done.stderr
    assert done.stdout == reported(folder, "wsgi:app")


def test_a_python_without_venv_is_reported_in_one_line(tmp_path: Path) -> None:
    folder = new_checkout(tmp_path / "project")
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "bare")], check=True
    )
    python = tmp_path / "bare" / "bin" / "python"
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    blocker = tmp_path / "bare" / "lib" / version / "site-packages" / "sitecustomize.py"
    blocker.write_text("import sys; sys.modules['ensurepip'] = None")
    done = subprocess.run(
        [str(python), str(folder / "tracker.py")], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    creating, error = done.stderr.splitlines()
    assert creating.startswith("tracker: Creating")
    assert error.startswith("error: this Python has no venv module; install it")
    assert not (folder / ".venv").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_checkout_is_reported_in_one_line(tmp_path: Path) -> None:
    folder = new_checkout(tmp_path / "project")
    folder.chmod(0o555)
    done = launch(folder)
    folder.chmod(0o755)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("Permission denied; make the folder writable")
