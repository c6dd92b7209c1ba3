"""The service as a process group of its own, for the tests to call, to stop and to kill."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import requests

ROOT = Path(__file__).resolve().parent.parent
GUNICORN = (sys.executable, "-m", "gunicorn", "wsgi:app")
# An empty variable counts as not set, and wins over a .env file.
UNSET = dict.fromkeys(
    ("API_TOKEN", "GITHUB_TOKEN", "HOST", "LOG_FORMAT", "LOG_LEVEL", "THREADS", "TRUSTED_HOSTS"), ""
)
PATIENCE = 20  # seconds


@dataclass
class Service:
    """A process that leads a group of its own, and serves HTTP."""

    process: subprocess.Popen[bytes]
    port: int
    output: Path

    @property
    def log(self) -> str:
        return self.output.read_text()

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        with requests.Session() as session:
            session.trust_env = False
            url = f"http://127.0.0.1:{self.port}{path}"
            return session.request(method, url, timeout=PATIENCE, **options)

    def post(self, repository: str, **options: Any) -> requests.Response:
        return self.call("POST", "/tasks", json={"title": "t", "repository": repository}, **options)

    def answers(self, path: str = "/health/live", status: int = 200) -> bool:
        assert self.process.poll() is None, self.log
        try:
            return self.call("GET", path).status_code == status
        except requests.ConnectionError:
            return False

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Send a signal, to the whole group if it is Ctrl-C's, and give the exit code."""
        send = os.killpg if number == signal.SIGINT else os.kill
        send(self.process.pid, number)
        return self.process.wait(PATIENCE)


@contextmanager
def started(
    command: Sequence[str],
    environment: dict[str, str],
    output: Path,
    folder: Path = ROOT,
    port: int | None = None,
) -> Iterator[Service]:
    """Start a command on a free port; in the end nothing of it is left, however the block ends."""
    port = port or free_port()
    with output.open("wb") as file:
        process = subprocess.Popen(
            command,
            cwd=folder,
            env={"WEB_CONCURRENCY": "2", **UNSET, **environment, "PORT": str(port)},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Service(process, port, output)
    finally:
        for left in members(process.pid, output.parent):
            left.kill()
        process.wait(PATIENCE)


@contextmanager
def served(
    environment: dict[str, str],
    output: Path,
    command: Sequence[str] = GUNICORN,
    port: int | None = None,
) -> Iterator[Service]:
    """Serve with gunicorn."""
    with started(command, environment, output, port=port) as service:
        wait_for(service.answers)
        yield service


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline, condition
        time.sleep(0.02)


def members(group: int, folder: Path) -> list[psutil.Process]:
    """Find the living processes of a group, and those whose command line names the folder."""
    found = []
    for process in psutil.process_iter():
        try:
            named = any(str(folder) in word for word in process.cmdline())
            if named or os.getpgid(process.pid) == group:
                found.append(process)
        except (psutil.Error, ProcessLookupError):
            continue
    return [p for p in found if p.is_running() and p.status() != psutil.STATUS_ZOMBIE]


def nothing_left(service: Service) -> bool:
    return not members(service.process.pid, service.output.parent)


def copy_project(target: Path) -> Path:
    """Copy the service to a folder with nothing else in it."""
    shutil.copytree(ROOT / "tracker", target / "tracker", ignore=shutil.ignore_patterns("__*__"))
    for name in ("gunicorn.conf.py", "wsgi.py"):
        shutil.copy(ROOT / name, target)
    return target
