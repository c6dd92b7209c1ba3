"""A checkout with the real launcher, stubs for the programs that it runs, and no package index."""

import fcntl
import os
import pickle
import shlex
import shutil
import subprocess
import sys
import zipfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from hashlib import sha256
from pathlib import Path

import pytest

from helpers import ROOT, SHARED

REPORT = "import os, sys; print(sys.prefix, os.getcwd(), sys.argv[1:], sep='|')"
LISTS = [f"requirements{kind}.{end}" for kind in ("", "-dev") for end in ("txt", "lock")]
Done = subprocess.CompletedProcess[str]


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """Return variables with which pip finds packages in the folder `wheels` alone."""
    return {
        **os.environ,
        "NO_PROXY": "127.0.0.1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": (folder / "wheels").as_uri(),  # a path may hold no blank
        "PIP_NO_INDEX": "1",
        **variables,
    }


def launch(folder: Path, *arguments: str, cwd: str = "/", **variables: str) -> Done:
    """Run the folder's launcher, from another folder."""
    return subprocess.run(
        [sys.executable, str(folder / "tracker.py"), *arguments],
        cwd=cwd,
        env=environment(folder, **variables),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )


def reported(folder: Path, *arguments: str) -> str:
    """Return what a stub prints when the launcher runs it with these arguments."""
    return f"{folder / '.venv'}|{folder}|{list(arguments)}\n"


def program(folder: Path) -> str:
    """Return how the folder's launcher is called, as it can be typed."""
    return f"python3 {shlex.quote(str(folder / 'tracker.py'))}"


def new_checkout(folder: Path) -> Path:
    """Create a checkout that needs no packages."""
    (folder / "wheels").mkdir(parents=True)
    (folder / "tracker").mkdir()
    shutil.copy(ROOT / "tracker.py", folder)
    shutil.copy(ROOT / "tracker" / "config.py", folder / "tracker")
    (folder / "tracker" / "__init__.py").touch()
    for name in ("gunicorn", "tracker/cli", "pytest"):
        (folder / f"{name}.py").write_text(REPORT)
    for name in LISTS:
        (folder / name).touch()
    return folder


def build_wheel(folder: Path, version: str = "1.0") -> str:
    """Build a wheel of the package `greeting` for pip to find; return its line for a lock."""
    info = f"greeting-{version}.dist-info"
    wheel = folder / "wheels" / f"greeting-{version}-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("greeting.py", "")
        archive.writestr(
            f"{info}/METADATA", f"Metadata-Version: 2.1\nName: greeting\nVersion: {version}\n"
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return f"greeting=={version} --hash=sha256:{sha256(wheel.read_bytes()).hexdigest()}\n"


@cache
def first_starts() -> tuple[Path, list[Done], Path]:
    """Start a new checkout twice at once, in a folder whose modules record that they ran.

    Return the checkout, the results of both starts, and the record. The first pytest worker
    creates them for all workers.
    """
    pytest.importorskip("ensurepip")
    home = Path(os.environ[SHARED]).resolve() / "launcher"
    results = home / "results"
    with home.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not results.exists():
            results.write_bytes(pickle.dumps(_start_twice(home)))
    starts: tuple[Path, list[Done], Path] = pickle.loads(results.read_bytes())
    return starts


def _start_twice(home: Path) -> tuple[Path, list[Done], Path]:
    folder = new_checkout(home / "a b'c")
    caller = home / "caller"
    record = home / "record"
    for name in ("ensurepip", "gunicorn", "pip", "sitecustomize", "venv"):
        (caller / name).mkdir(parents=True)
        for module in ("__init__", "__main__"):
            (caller / name / f"{module}.py").write_text(
                f"import sys; print(__name__, *sys.argv[:1], file=open({str(record)!r}, 'a'))"
            )
    with ThreadPoolExecutor(2) as threads:
        starts = threads.map(
            lambda _: launch(folder, cwd=str(caller), PYTHONPATH=str(caller)), range(2)
        )
        return folder, list(starts), record


def copy_checkout(target: Path) -> Path:
    """Copy the checkout that has been started before, for one test to change."""
    folder = target.resolve() / "a b'c"
    subprocess.run(["cp", "-a", first_starts()[0], folder], check=True)
    return folder


def contents(folder: Path) -> dict[Path, int]:
    """Return every path below the folder, with the time of its last change."""
    return {path: path.lstat().st_mtime_ns for path in folder.rglob("*")}
