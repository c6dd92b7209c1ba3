"""Helpers for data folders of the embedded server."""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg2

from helpers import ROOT
from tracker.postgres import server as embedded

PATIENCE = 20  # seconds
# It polls: a blocking read would not notice a signal that comes just before it.
HOLD = """
import select
import sys
from pathlib import Path
from tracker.postgres import server as embedded
with embedded.running(Path(sys.argv[1])):
    print("up", flush=True)
    while not select.select([sys.stdin], [], [], 0.1)[0]:
        pass
"""


def execute(folder: Path, statement: str, **parameters: Any) -> Any:
    """Execute a statement as the application's role, and return its first value."""
    connected = psycopg2.connect(**embedded.connection_parameters(folder) | parameters)
    with closing(connected) as connection, connection, connection.cursor() as cursor:
        cursor.execute(statement)
        return cursor.fetchone()[0] if cursor.description else None


def execute_as_superuser(folder: Path, statement: str) -> Any:
    """Execute a statement as the superuser, and return its first value."""
    return execute(folder, statement, **embedded.superuser_parameters(folder))


def accepts_logins(folder: Path) -> bool:
    """Check whether the application's role can log in."""
    try:
        return bool(execute(folder, "SELECT 1") == 1)
    except psycopg2.OperationalError:
        return False


def running_postmaster(folder: Path) -> psutil.Process | None:
    """Return the server's main process, or None if no server runs."""
    try:
        process = psutil.Process(int((folder / "postmaster.pid").read_text().split()[0]))
        alive = process.name() == "postgres" and process.status() != psutil.STATUS_ZOMBIE
    except (OSError, IndexError, psutil.NoSuchProcess):  # the file is empty at first
        return None
    return process if alive else None


def groups(process: psutil.Process) -> set[int]:
    """Return all groups of a process, as Linux lists them."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    lines = [line.split() for line in status.splitlines()]
    return {int(group) for name, *ids in lines if name in ("Gid:", "Groups:") for group in ids}


def copied(source: Path, target: Path) -> Path:
    """Copy a data folder with its owners, and return the copy."""
    subprocess.run(["cp", "-a", source, target], check=True)
    return target


@contextmanager
def held(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Use the server in another process, until its input closes."""
    with started(HOLD, str(folder)) as process:
        assert process.stdout
        assert process.stdout.readline() == "up\n"
        yield process


@contextmanager
def started(script: str, *arguments: str, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """Run a Python script that can import the service, and kill it at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", script, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def leave(holder: subprocess.Popen[str]) -> None:
    """Close the input of a process, and wait for its end."""
    assert holder.stdin
    holder.stdin.close()
    assert holder.wait(PATIENCE) == 0
