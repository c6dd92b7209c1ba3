"""The baseline: the service's own code at an earlier commit, measured as one more peer."""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement

from benchmarks.failures import BaselineError
from benchmarks.services import OURS, ROOT, Service

NAME = "baseline"


@contextmanager
def extracted(commit: str) -> Iterator[Service]:
    """Extract the commit into a temporary folder for the time of the block.

    The baseline runs from that folder, with its own gunicorn.conf.py and migrations, and with the
    packages of benchmarks/.venv.

    Raises:
        BaselineError: git has no such commit, or a package that the commit needs is not installed.
    """
    try:
        short = _git("rev-parse", "--short", "--verify", f"{commit}^{{commit}}")
    except BaselineError as error:
        raise BaselineError(f"--baseline {commit} is not a commit: {error}") from None
    with tempfile.TemporaryDirectory(prefix="benchmarks-baseline-") as name:
        archive, folder = Path(name, "archive.tar"), Path(name, "tracker")
        _git("archive", "--format=tar", f"--output={archive}", short)
        shutil.unpack_archive(archive, folder)
        archive.unlink()
        _check_packages(short, folder / "requirements.txt")
        yield Service(NAME, f"baseline {short}", OURS.serve, OURS.prepare, folder=folder)


def _git(*words: str) -> str:
    command = ["git", "-C", str(ROOT), *words]
    try:
        process = subprocess.run(command, capture_output=True, text=True)
    except FileNotFoundError:
        raise BaselineError("--baseline needs git, which is not installed") from None
    if process.returncode:
        raise BaselineError(f"git {words[0]} failed: {process.stderr.strip()}")
    return process.stdout.strip()


def _check_packages(commit: str, requirements: Path) -> None:
    missing = []
    for line in requirements.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if not text or text.startswith("-"):
            continue
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate():
            continue
        try:
            installed = version(requirement.name)
        except PackageNotFoundError:
            missing.append(text)
            continue
        if installed not in requirement.specifier:
            print(
                f"warning: {commit} requires {text}; it is measured with {installed}",
                file=sys.stderr,
                flush=True,
            )
    if missing:
        words = " ".join(f"'{each}'" for each in missing)
        raise BaselineError(
            f"{commit} requires packages that are not installed; install them: "
            f"benchmarks/.venv/bin/python -m pip install {words}"
        )
