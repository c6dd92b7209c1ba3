#!/usr/bin/env python3
"""Start GitHub Task Tracker from a fresh checkout, with nothing but Python.

    python3 tracker.py            serve on http://127.0.0.1:8000
    python3 tracker.py demo       the same with a local stand-in for GitHub
    python3 tracker.py test       run the tests; further words go to pytest
    python3 tracker.py WORDS      the command line: db init, db status, doctor, ...

The first start makes an environment in .venv; a later one finds it there. This script is
standard library only, and nothing can be imported from it: `import tracker` is the package.
"""

from __future__ import annotations  # an old Python reads on as far as being told that it is

import errno
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

OLDEST = (3, 10)
ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"


def main(words: "list[str]") -> None:
    if sys.version_info < OLDEST:
        fail("Python %d.%d or later is needed, and this is %d.%d" % (OLDEST + sys.version_info[:2]))
    if os.name != "posix":
        fail("Linux or macOS is needed; on Windows use WSL")
    testing = words[:1] == ["test"]
    mask = os.umask(0o022)  # PostgreSQL refuses root: another account must read its programs
    try:
        make_environment("requirements-dev.txt" if testing else "requirements.txt")
    except OSError as error:
        remedy = {errno.ENOSPC: "free some space", errno.EACCES: "make the folder writable"}
        advice = remedy.get(error.errno or 0, "see to that")
        fail("can't make the environment in %s: %s; %s" % (VENV, error.strerror, advice))
    os.umask(mask)
    if testing:
        command = ["-m", "pytest", *words[1:]]
    elif words:
        command = ["-m", "flask", *words]
    else:
        command = ["-m", "gunicorn", "wsgi:app"]
    check_concurrency()
    os.chdir(ROOT)
    sys.stdout.flush()
    os.execv(PYTHON, [str(PYTHON), *command])


def check_concurrency() -> None:
    """Check the one setting that gunicorn reads by itself, before it comes to ours."""
    text = os.environ.pop("WEB_CONCURRENCY", "").strip()
    if text and not text.isdigit():
        fail("WEB_CONCURRENCY takes a whole number from 1 to 64, not %r" % text)
    if text:
        os.environ["WEB_CONCURRENCY"] = text


def make_environment(requirements: str) -> None:
    """Make .venv, or bring it up to date, unless it has all that the file names."""
    if is_current(requirements):
        return
    with locked(ROOT):
        if is_current(requirements):  # made by another start meanwhile
            return
        if not is_made():
            say("Making an environment in %s, once" % VENV)
            make_venv()
        say("Installing %s" % requirements)
        install(requirements)
        for name in {requirements, "requirements.txt"}:
            stamp(name).write_text(fingerprint(name))


def is_made() -> bool:
    return marker().exists() and PYTHON.exists()


def is_current(requirements: str) -> bool:
    try:
        return is_made() and stamp(requirements).read_text() == fingerprint(requirements)
    except OSError:
        return False


def marker() -> Path:
    """A file that is there when the environment is whole, and of this Python."""
    return VENV / (".made-by-%s" % sys.implementation.cache_tag)


def stamp(requirements: str) -> Path:
    """A file that tells what was installed."""
    return VENV / (".installed-%s" % requirements)


def fingerprint(requirements: str) -> str:
    # The one file includes the other.
    texts = {(ROOT / name).read_bytes() for name in (requirements, "requirements.txt")}
    return hashlib.sha256(b"".join(sorted(texts))).hexdigest()


def make_venv() -> None:
    try:
        import ensurepip  # noqa: F401
        import venv  # noqa: F401
    except ImportError:
        fail(
            "this Python has no venv module; install it (Debian, Ubuntu: sudo apt install "
            "python%d.%d-venv)" % sys.version_info[:2]
        )
    VENV.mkdir(exist_ok=True)
    code, errors = run([sys.executable, "-I", "-m", "venv", "--clear", str(VENV)])
    if code:
        fail("can't make the environment in %s: %s; is the disk full?" % (VENV, errors[-1]))
    marker().touch()


def install(requirements: str) -> None:
    pip = [str(PYTHON), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    code, lines = run([*pip, "--requirement", str(ROOT / requirements)])
    if code:
        errors = [line for line in lines if line.startswith("ERROR:")] or lines[-1:]
        fail("pip can't install %s: %s" % (requirements, errors[0]))


def run(command: list[str]) -> tuple[int, list[str]]:
    """Run a program; give its exit code and what it said, or where that is nothing, the code."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        output, _ = process.communicate()
    except BaseException:
        # pip runs programs too, which must not write on behind the back of the next start.
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise
    return process.returncode, output.split("\n")[:-1] or ["exit code %d" % process.returncode]


@contextmanager
def locked(folder: Path) -> "Iterator[None]":
    """Let one start at a time pass."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def say(text: str) -> None:
    print("tracker: %s ..." % text, file=sys.stderr, flush=True)


def fail(text: str) -> None:
    sys.exit("error: %s" % text)


if __name__ == "__main__":
    # As Ctrl-C it ends what this has started too.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        main(sys.argv[1:])
    except KeyboardInterrupt:
        sys.exit(130)
