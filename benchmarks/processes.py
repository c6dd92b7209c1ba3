"""Start a service, watch its CPU time and memory, and stop it."""

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

from benchmarks.failures import StartFailed
from benchmarks.services import PORT, Service

TIMEOUT = 120  # seconds to start, to respond and to stop; a busy machine is slow

http = requests.Session()
http.trust_env = False


@dataclass
class RunningService:
    """A service's processes: a master and its children."""

    title: str
    process: subprocess.Popen[bytes]
    address: str
    output: Path
    peak: int = field(default=0)  # bytes of memory

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        """Send one request."""
        return http.request(method, self.address + path, timeout=TIMEOUT, **options)

    def cpu(self) -> float:
        """Return the seconds of CPU time that the processes have used so far."""
        times = [process.cpu_times() for process in self._processes()]
        return sum(each.user + each.system for each in times)

    def watch_memory(self) -> None:
        """Update `peak` by the processes' memory; a shared page counts in equal parts (PSS)."""
        with suppress(psutil.Error):
            pss = sum(process.memory_full_info().pss for process in self._processes())
            self.peak = max(self.peak, pss)

    def connections(self) -> int:
        """Count the clients' connections that the processes have accepted."""
        port = int(self.address.rpartition(":")[2])
        found = [each for process in self._processes() for each in process.net_connections("tcp")]
        return sum(each.laddr.port == port and each.status != "LISTEN" for each in found)

    def workers(self) -> set[int]:
        """Return the process IDs of the master's children."""
        return {process.pid for process in self._processes()[1:]}

    def _processes(self) -> list[psutil.Process]:
        master = psutil.Process(self.process.pid)
        return [master, *master.children(recursive=True)]


@contextmanager
def running(service: Service, variables: dict[str, str]) -> Iterator[RunningService]:
    """Run the service for the time of the block; afterwards none of its processes is left.

    Raises:
        StartFailed: it did not respond in time.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [word.replace(PORT, port) for word in service.serve]
    with tempfile.TemporaryDirectory(prefix="benchmarks-") as folder:
        output = Path(folder) / "output"
        with output.open("wb") as file:
            process = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=service.folder,
                env={**variables, "PORT": port},
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,  # a process group of its own, to be killed as one
            )
        try:
            running_service = RunningService(
                service.title, process, f"http://127.0.0.1:{port}", output
            )
            _wait(running_service)
            yield running_service
        finally:
            _stop(process)


@contextmanager
def memory_watched(service: RunningService) -> Iterator[None]:
    """Read the service's memory once a second, and when the block ends."""
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


def _wait(service: RunningService) -> None:
    deadline = time.monotonic() + TIMEOUT
    while True:
        if service.process.poll() is not None or time.monotonic() > deadline:
            output = service.output.read_text()
            raise StartFailed(f"{service.title} did not start:\n{output}")
        with suppress(requests.ConnectionError):
            if service.call("GET", "/tasks/1").status_code in (200, 404):
                http.close()  # the service starts without an open connection
                return
        time.sleep(0.05)


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Send SIGTERM to the master, then SIGKILL to every process of its group that is left."""
    process.terminate()
    with suppress(subprocess.TimeoutExpired):
        process.wait(TIMEOUT)
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
