"""The service and its peers: how each is started, watched and stopped."""

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import requests

ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 120  # seconds; a busy machine starts slowly
PORT = "{port}"  # in a command, stands for the port
WORKERS = "2"
THREADS = "16"

http = requests.Session()
http.trust_env = False


@dataclass(frozen=True)
class Service:
    """A way to build the service: the commands that make its table, and that serve."""

    name: str
    title: str
    serve: tuple[str, ...]
    prepare: tuple[str, ...] = ()
    works: tuple[str, ...] | None = None  # None: all of them
    borrows: str | None = None  # whose table it reads; None: its own, if it has one


def _uvicorn(app: str) -> tuple[str, ...]:
    return (
        *("uvicorn", app, "--workers", WORKERS, "--port", PORT, "--no-access-log"),
        # Or it ends workers that a busy machine has kept from answering it for 5 seconds.
        *("--timeout-worker-healthcheck", "60"),
    )


_FASTAPI_TABLE = ("benchmarks.peers.fastapi_tasks",)

OURS = Service("ours", "this service", ("gunicorn", "wsgi:app"), ("flask", "db", "init"))
ORIGINAL = Service(
    "original", "original design", _uvicorn("benchmarks.peers.original:app"), _FASTAPI_TABLE
)
TUNED = Service("tuned", "original, tuned", _uvicorn("benchmarks.peers.tuned:app"), _FASTAPI_TABLE)
REST_FRAMEWORK = Service(
    "rest_framework",
    "Django REST framework",
    (
        *("gunicorn", "benchmarks.peers.rest_framework.wsgi:application"),
        *("--config", "benchmarks/peers/rest_framework/serving.py"),
    ),
    ("django", "migrate", "--run-syncdb", "--verbosity=0"),
)
FLOOR = Service(
    "floor", "empty Flask view", ("gunicorn", "benchmarks.peers.floor:app"), works=("get",)
)
STATEMENT = Service(
    "statement",
    "Flask and one statement",
    ("gunicorn", "benchmarks.peers.statement:app"),
    works=("get",),
    borrows=OURS.name,
)
SERVICES = (OURS, ORIGINAL, TUNED, REST_FRAMEWORK, STATEMENT, FLOOR)


@dataclass
class Running:
    """A service that runs, as the processes that it is made of."""

    process: subprocess.Popen[bytes]
    address: str
    output: Path
    peak: int = field(default=0)  # bytes

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send one request."""
        return http.request(method, self.address + path, timeout=PATIENCE, **options)

    def cpu(self) -> float:
        """Give the seconds of CPU that its processes have used so far."""
        times = [process.cpu_times() for process in self._processes()]
        return sum(each.user + each.system for each in times)

    def watch_memory(self) -> None:
        """Note the most memory that its processes have together, pages shared shared out."""
        with suppress(psutil.Error):
            pss = sum(process.memory_full_info().pss for process in self._processes())
            self.peak = max(self.peak, pss)

    def _processes(self) -> list[psutil.Process]:
        master = psutil.Process(self.process.pid)
        return [master, *master.children(recursive=True)]


def environment(database_url: str, **settings: str) -> dict[str, str]:
    """Give what every service is told, and no setting of the user's own."""
    # An empty variable counts as not set, and wins over a .env file.
    unset = ("API_TOKEN", "GITHUB_TOKEN", "GITHUB_TIMEOUT", "HOST", "LOG_FORMAT", "TRUSTED_HOSTS")
    return {
        **os.environ,
        **dict.fromkeys(unset, ""),
        "DATABASE_URL": database_url,
        "DJANGO_SETTINGS_MODULE": "benchmarks.peers.rest_framework.settings",
        "GITHUB_CACHE_TTL": "3600",
        "LOG_LEVEL": "warning",  # no access log, as the peers have none
        "THREADS": THREADS,
        "WEB_CONCURRENCY": WORKERS,
        **settings,
    }


def prepare(service: Service, settings: dict[str, str]) -> None:
    """Make the service's table."""
    command = [sys.executable, "-m", *service.prepare]
    subprocess.run(command, cwd=ROOT, env=settings, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def running(service: Service, settings: dict[str, str]) -> Iterator[Running]:
    """Run the service for the time of the block; in the end no process of it is left."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [word.replace(PORT, port) for word in service.serve]
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        output = Path(folder) / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env={**settings, "PORT": port},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a group of its own, to be stopped as one
            )
        try:
            running_service = Running(process, f"http://127.0.0.1:{port}", output)
            _wait(running_service)
            yield running_service
        finally:
            _stop(process)


@contextmanager
def memory_watched(service: Running) -> Iterator[None]:
    """Look at the service's memory once a second and when the block ends."""
    ended = threading.Event()

    def watch() -> None:
        while not ended.wait(1):
            service.watch_memory()

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
    service.watch_memory()


def _wait(service: Running) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        if service.process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"it does not start:\n{service.output.read_text()}")
        with suppress(requests.ConnectionError):
            if service.call("GET", "/tasks/1").status_code in (200, 404):
                return
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Ask it to end, then end what is left of its group."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(PATIENCE)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
