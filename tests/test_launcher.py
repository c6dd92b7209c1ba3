"""The launcher, copied alone beside programs that only tell how they were run."""

import os
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
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
def first(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A checkout after its first start, and what that start said."""
    pytest.importorskip("ensurepip")
    folder = fresh(tmp_path_factory.mktemp("launcher").resolve() / "a b'c")
    return folder, launch(folder)


@pytest.fixture
def folder(first: tuple[Path, Done], tmp_path: Path) -> Path:
    """A checkout that has been started before, for one test to change."""
    folder = tmp_path.resolve() / "a b'c"
    shutil.copytree(first[0], folder, symlinks=True)
    return folder


def test_the_first_start_makes_the_environment_and_serves(first: tuple[Path, Done]) -> None:
    folder, done = first
    assert done.returncode == 0
    assert done.stdout == told(folder, "wsgi:app")
    assert [line.split()[:2] for line in done.stderr.splitlines() if "tracker:" in line] == [
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


@pytest.mark.parametrize("damage", ["dangling", "half made"])
def test_a_broken_environment_is_made_anew(folder: Path, damage: str) -> None:
    if damage == "dangling":
        python = folder / ".venv" / "bin" / "python"
        python.unlink()
        python.symlink_to(folder / "gone")
    else:
        next((folder / ".venv").glob(".made-by-*")).unlink()
    done = launch(folder)
    assert "Making" in done.stderr
    assert done.stdout == told(folder, "wsgi:app")


def test_of_two_starts_at_once_one_makes_the_environment(tmp_path: Path) -> None:
    pytest.importorskip("ensurepip")
    folder = fresh(tmp_path.resolve() / "project")
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda _: launch(folder), range(2)))
    assert [done.stdout for done in both] == [told(folder, "wsgi:app")] * 2
    assert "".join(done.stderr for done in both).count("Making") == 1


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
