"""The packages: locked, verified, and in an environment made by hand never touched."""

import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from helpers import ROOT, free_port
from launcher import build_wheel, contents, copy_checkout, launch, new_checkout, program, reported

PIN = re.compile(r"^([a-z0-9.-]+)==(\S+?)(?: *;.*| \\)?$", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkout that has been started before."""
    return copy_checkout(tmp_path)


def error_of(folder: Path, *arguments: str, **variables: str) -> str:
    """Return the one line with which a start fails."""
    done = launch(folder, *arguments, **variables)
    assert (done.returncode, done.stdout) == (1, "")
    *said, error = done.stderr.splitlines()
    assert all(line.startswith("tracker: ") for line in said)
    return error.removeprefix("error: ")


def make_by_hand(folder: Path) -> Path:
    """Create an environment as somebody without the launcher would; return its packages' folder."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(folder)], check=True)
    (packages,) = folder.glob("lib/python3*/site-packages")
    return packages


def test_the_locked_packages_are_installed(folder: Path) -> None:
    (folder / "requirements.lock").write_text(build_wheel(folder))
    done = launch(folder)
    assert (done.returncode, done.stdout) == (0, reported(folder, "wsgi:app"))
    assert list(folder.glob(".venv/lib/python3*/site-packages/greeting.py"))
    assert launch(folder).stderr == ""


def test_a_file_with_another_hash_is_not_installed(folder: Path) -> None:
    lock = build_wheel(folder)
    (folder / "requirements.lock").write_text(lock[:-65] + "0" * 64 + "\n")
    for _ in range(2):
        assert error_of(folder).startswith(
            "pip can't install requirements.lock: "
            "the file for greeting==1.0 has another hash than the lock; "
        )
    assert not list(folder.glob(".venv/lib/python3*/site-packages/greeting.py"))


def test_a_package_that_the_lock_does_not_name_is_refused(folder: Path) -> None:
    build_wheel(folder)
    (folder / "requirements.lock").write_text("greeting==1.0\n")
    assert "Hashes are required" in error_of(folder)


def test_a_lock_that_does_not_fit_names_the_way_around_it(folder: Path) -> None:
    build_wheel(folder)
    (folder / "requirements.lock").write_text(build_wheel(folder).replace("1.0", "2.0"))
    (folder / "requirements.txt").write_text("greeting\n")
    assert error_of(folder) == (
        "pip can't install requirements.lock: "
        "the package index has no greeting==2.0 for this machine; "
        f"{program(folder)} --unlocked installs requirements.txt instead"
    )
    done = launch(folder, "--unlocked", "db", "init")
    assert "Installing requirements.txt" in done.stderr
    assert done.stdout == reported(folder, program(folder), "db", "init")
    assert launch(folder).stderr == ""


@pytest.mark.slow
def test_an_install_that_went_elsewhere_is_not_recorded(folder: Path, tmp_path: Path) -> None:
    (folder / "requirements.lock").write_text(build_wheel(folder))
    error = error_of(folder, PIP_TARGET=str(tmp_path / "elsewhere"))
    assert error.startswith(f"pip reports success, but {folder / '.venv'} lacks greeting; ")
    assert "Installing" in launch(folder).stderr


@pytest.mark.slow
def test_a_failed_install_is_reported_in_one_line_and_repeated(folder: Path) -> None:
    lock = folder / "requirements.lock"
    lock.write_text("-r absent.txt\n")
    for _ in range(2):
        error = error_of(folder)
        assert error.startswith("pip can't install requirements.lock: ")
        assert "absent.txt" in error
    lock.write_text("# none\n")
    assert launch(folder).stdout == reported(folder, "wsgi:app")
    assert launch(folder).stderr == ""


@pytest.mark.slow
def test_an_index_that_is_out_of_reach_is_named_as_the_reason(folder: Path) -> None:
    (folder / "requirements.lock").write_text(build_wheel(folder))
    (folder / "wheels" / "greeting-1.0-py3-none-any.whl").unlink()
    index = {"PIP_NO_INDEX": "", "PIP_INDEX_URL": f"http://127.0.0.1:{free_port()}"}
    assert error_of(folder, PIP_RETRIES="1", **index) == (
        "pip can't install requirements.lock: "
        "can't reach the package index: Connection refused; check the network"
    )
    assert ", or is out of reach; " in error_of(folder, PIP_RETRIES="0", **index)


@pytest.mark.parametrize("name", ["requirements.txt", "requirements.lock"])
def test_a_missing_list_is_reported_in_one_line(folder: Path, name: str) -> None:
    (folder / name).unlink()
    assert "No such file" in error_of(folder)


def test_an_environment_made_by_hand_is_used_unchanged(tmp_path: Path) -> None:
    folder = new_checkout(tmp_path / "project")
    packages = make_by_hand(folder / ".venv")
    (folder / "requirements.txt").write_text("greeting==2.0\n")
    before = contents(folder / ".venv")
    install = f"{folder}/.venv/bin/python -m pip install -r {folder}/requirements.lock"
    assert error_of(folder) == (
        f"{folder}/.venv was not created by tracker.py, and lacks greeting; run: {install}"
    )
    assert contents(folder / ".venv") == before
    build_wheel(folder)
    zipfile.ZipFile(folder / "wheels" / "greeting-1.0-py3-none-any.whl").extractall(packages)
    before = contents(folder / ".venv")
    done = launch(folder)
    assert (done.returncode, done.stdout, done.stderr) == (0, reported(folder, "wsgi:app"), "")
    assert contents(folder / ".venv") == before


@pytest.mark.parametrize("kind", ["file", "folder", "dangling link"])
def test_a_venv_that_is_no_environment_is_left_alone(tmp_path: Path, kind: str) -> None:
    folder = new_checkout(tmp_path / "project")
    venv = folder / ".venv"
    if kind == "file":
        venv.write_text("mine")
    elif kind == "folder":
        (venv / "notes").mkdir(parents=True)
    else:
        venv.symlink_to(tmp_path / "gone")
    before = contents(folder)
    for words in ((), ("db", "status"), ("test",), ("--unlocked",)):
        error = error_of(folder, *words)
        assert error == f"{venv} was not created by tracker.py, and has no bin/python; move it away"
    assert contents(folder) == before


def test_a_link_to_an_environment_is_used_unchanged(folder: Path, tmp_path: Path) -> None:
    (folder / ".venv").rename(tmp_path / "shared")
    (folder / ".venv").symlink_to(tmp_path / "shared")
    before = contents(tmp_path / "shared")
    (folder / "requirements.lock").write_text("# changed\n")
    assert launch(folder).stdout == reported(folder, "wsgi:app")
    (tmp_path / "shared" / "bin" / "python").unlink()
    assert error_of(folder).endswith("and has no bin/python; move it away")
    assert before.keys() - contents(tmp_path / "shared").keys() == {
        tmp_path / "shared" / "bin" / "python"
    }


def test_the_locks_hold_every_version_of_the_short_lists() -> None:
    locks = {}
    for kind in ("", "-dev"):
        lock = locks[kind] = (ROOT / f"requirements{kind}.lock").read_text()
        short = (ROOT / f"requirements{kind}.txt").read_text()
        forgotten = set(PIN.findall(short)) - set(PIN.findall(lock))
        assert not forgotten, "run .ci/lock"
        entries = re.split(r"\n(?=\w)", lock)[1:]
        assert all("--hash=sha256:" in entry for entry in entries)
        assert not re.search(r"://|^-", lock, re.MULTILINE), "the lock names an index or a path"
    assert set(PIN.findall(locks[""])) <= set(PIN.findall(locks["-dev"])), "run .ci/lock"
