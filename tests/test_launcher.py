"""The launcher, copied alone beside programs that only tell how they were run."""

import os
import shutil
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from service import PATIENCE, ROOT, members, wait_for

TELL = "import os, sys; print(sys.prefix, os.getcwd(), sys.argv[1:], sep='|')"
Done = subprocess.CompletedProcess[str]


def launch(folder: Path, *words: str, **variables: str) -> Done:
    """Run the folder's launcher, from another folder."""
    return subprocess.run(
        [sys.executable, str(folder / "tracker.py"), *words],
        cwd="/",
        env={**os.environ, "PIP_NO_INDEX": "1", **variables},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def told(folder: Path, *words: str) -> str:
    return f"{folder / '.venv'}|{folder}|{list(words)}\n"


def fresh(folder: Path) -> Path:
    """Make a checkout that needs no packages."""
    folder.mkdir(parents=True)
    shutil.copy(ROOT / "tracker.py", folder)
    for name in ("gunicorn", "flask", "pytest"):
        (folder / f"{name}.py").write_text(TELL)
    for name in ("requirements.txt", "requirements-dev.txt"):
        (folder / name).touch()
    return folder


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Done]]:
    """A checkout after its first start, made by two at once, and what they said."""
    pytest.importorskip("ensurepip")
    folder = fresh(tmp_path_factory.mktemp("launcher").resolve() / "a b'c")
    with ThreadPoolExecutor(2) as threads:
        return folder, list(threads.map(lambda _: launch(folder), range(2)))


@pytest.fixture
def folder(first: tuple[Path, list[Done]], tmp_path: Path) -> Path:
    """A checkout that has been started before, for one test to change."""
    folder = tmp_path.resolve() / "a b'c"
    shutil.copytree(first[0], folder, symlinks=True)
    return folder


def test_of_two_first_starts_at_once_one_makes_the_environment_and_both_serve(
    first: tuple[Path, list[Done]],
) -> None:
    folder, both = first
    assert [(done.returncode, done.stdout) for done in both] == [(0, told(folder, "wsgi:app"))] * 2
    said = [line for done in both for line in done.stderr.splitlines() if "tracker:" in line]
    assert [line.split()[:2] for line in said] == [
        ["tracker:", "Making"],
        ["tracker:", "Installing"],
    ]


def test_a_later_start_makes_nothing(folder: Path) -> None:
    before = {path: path.lstat().st_mtime_ns for path in (folder / ".venv").rglob("*")}
    start = time.monotonic()
    done = launch(folder)
    assert time.monotonic() - start < 3
    assert (done.returncode, done.stdout, done.stderr) == (0, told(folder, "wsgi:app"), "")
    after = {path: path.lstat().st_mtime_ns for path in (folder / ".venv").rglob("*")}
    assert after == before


@pytest.mark.parametrize("value", ["many", "1.5", "-1"])
def test_a_wrong_setting_that_gunicorn_reads_first_is_told_in_one_line(
    folder: Path, value: str
) -> None:
    done = launch(folder, WEB_CONCURRENCY=value)
    assert (done.returncode, done.stdout) == (1, "")
    assert (
        done.stderr == f"error: WEB_CONCURRENCY takes a whole number from 1 to 64, not {value!r}\n"
    )


@pytest.mark.parametrize("value", ["", " ", " 3 "])
def test_a_setting_that_gunicorn_reads_first_may_be_empty_or_padded(
    folder: Path, value: str
) -> None:
    (folder / "gunicorn.py").write_text("import os; print(os.environ.get('WEB_CONCURRENCY'))")
    assert launch(folder, WEB_CONCURRENCY=value).stdout == f"{value.strip() or None}\n"


def test_words_go_to_flask_and_after_test_to_pytest(folder: Path) -> None:
    assert launch(folder, "db", "init").stdout == told(folder, "db", "init")
    testing = launch(folder, "test", "-k", "a b")
    assert testing.stdout == told(folder, "-k", "a b")
    assert "Installing requirements-dev.txt" in testing.stderr
    assert launch(folder, "test").stderr == launch(folder).stderr == ""


def test_changed_requirements_are_installed_and_what_fails_is_told_in_one_line(
    folder: Path,
) -> None:
    requirements = folder / "requirements.txt"
    requirements.write_text("-r absent.txt\n")
    for _ in range(2):
        done = launch(folder)
        assert (done.returncode, done.stdout) == (1, "")
        installing, error = done.stderr.splitlines()
        assert installing.startswith("tracker: Installing requirements.txt")
        assert error.startswith("error: pip can't install requirements.txt: ")
        assert "absent.txt" in error
    requirements.write_text("# none\n")
    assert launch(folder).stdout == told(folder, "wsgi:app")
    assert launch(folder).stderr == ""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_start_that_is_cut_short_ends_its_pip_and_the_next_one_installs(
    folder: Path, tmp_path: Path, number: signal.Signals
) -> None:
    started = tmp_path / "started"
    stub = tmp_path / "stub" / "pip.py"
    stub.parent.mkdir()
    stub.write_text(f"import pathlib, time; pathlib.Path({str(started)!r}).touch(); time.sleep(60)")
    (folder / "requirements.txt").write_text("# changed\n")
    process = subprocess.Popen(
        [sys.executable, str(folder / "tracker.py")],
        env={**os.environ, "PYTHONPATH": str(stub.parent)},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(started.exists)
        (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
        assert process.wait(PATIENCE) == 128 + number
        assert not members(process.pid, folder)
    finally:
        for left in members(process.pid, folder):
            left.kill()
        process.wait(PATIENCE)
    done = launch(folder)
    assert "Installing requirements.txt" in done.stderr
    assert done.stdout == told(folder, "wsgi:app")


def test_a_broken_environment_is_made_anew(folder: Path) -> None:
    python = folder / ".venv" / "bin" / "python"
    python.unlink()
    python.symlink_to(folder / "gone")
    done = launch(folder)
    assert "Making" in done.stderr
    assert done.stdout == told(folder, "wsgi:app")


def test_a_python_without_venv_is_told_in_one_line(tmp_path: Path) -> None:
    folder = fresh(tmp_path / "project")
    stub = tmp_path / "stub" / "ensurepip.py"
    stub.parent.mkdir()
    stub.write_text("raise ImportError")
    done = launch(folder, PYTHONPATH=str(stub.parent))
    assert done.returncode == 1
    making, error = done.stderr.splitlines()
    assert making.startswith("tracker: Making")
    assert error.startswith("error: this Python has no venv module; install it")
    assert not (folder / ".venv").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_read_only_is_told_in_one_line(tmp_path: Path) -> None:
    folder = fresh(tmp_path / "project")
    folder.chmod(0o555)
    done = launch(folder)
    folder.chmod(0o755)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].endswith("Permission denied; make the folder writable")


def test_requirements_that_are_not_there_are_told_in_one_line(folder: Path) -> None:
    (folder / "requirements.txt").unlink()
    done = launch(folder)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("error: ")
    assert "Traceback" not in done.stderr
