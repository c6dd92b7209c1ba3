"""Nodes of the service behind the documented nginx, with one database and one Redis."""

import signal
import sys
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from helpers import GUNICORN, ROOT, Service, is_alive, started, wait_for, workers


@dataclass
class Nodes:
    """nginx, and the nodes behind it, each of which can be replaced while the others serve."""

    nginx: Service
    ports: Sequence[int]
    environment: dict[str, str]
    folder: Path
    services: dict[int, Service] = field(default_factory=dict)
    stacks: dict[int, ExitStack] = field(default_factory=dict)

    def start(self, number: int, code: Path = ROOT) -> Service:
        """Start a node, or the next process of it, and wait until its workers serve."""
        self.end(number)
        stack = self.stacks[number] = ExitStack()
        folder = self.folder / f"node-{number}-{time.monotonic()}"
        folder.mkdir()
        port = self.ports[number]
        service = stack.enter_context(
            started(GUNICORN, self.environment, folder / "output", code, port)
        )
        self.services[number] = service
        wait_for(service.answers)
        wait_for(lambda: len(workers(service)) == 2)
        return service

    def end(self, number: int) -> None:
        """Kill what is left of a node."""
        if stack := self.stacks.pop(number, None):
            stack.close()

    def stop(self, number: int) -> None:
        """Stop a node by SIGTERM, and wait for its processes to end."""
        processes = workers(self.services[number])
        self.services[number].process.send_signal(signal.SIGTERM)
        wait_until_gone(processes)
        self.services[number].process.wait()

    @property
    def logs(self) -> str:
        return "".join(path.read_text() for path in self.folder.glob("node-*/output"))


def wait_until_gone(processes: Sequence[psutil.Process]) -> None:
    wait_for(lambda: not any(map(is_alive, processes)))


FLASK = (sys.executable, "-m", "flask")
