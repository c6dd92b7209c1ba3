"""Load: wrk against one service, and what it costs there."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.services import Running, memory_watched

SCRIPT = Path(__file__).with_name("load.lua")
CONNECTIONS = 16
ATTEMPTS = 3  # on a busy machine the slowest may have no answer ready when the time is over
WRITES = {  # how many changes a work has left in a table that had so many tasks before
    "post": "SELECT count(*) - {tasks} FROM tasks",
    "patch": "SELECT sum(version - 1) FROM tasks",
}


@dataclass(frozen=True)
class Load:
    """What one turn under load has shown."""

    requests: int
    throughput: float  # requests per second
    p50: float  # milliseconds
    p99: float  # milliseconds
    cpu: float  # milliseconds of the service's processes for each request
    memory: float  # MiB at most, of the service's processes together


class LoadFailed(Exception):
    """A request failed, or did not do what it asked for: the numbers would mean nothing."""


def measure(service: Running, work: str, *, tasks: int, seconds: int, cursor: str = "") -> Load:
    """Load the service for so long, and two seconds before to warm it up."""
    warm = _drive(service, work, tasks, tasks * 9 // 10, 2, cursor)
    for _ in range(ATTEMPTS):
        before = service.cpu()
        with memory_watched(service):
            found = _drive(service, work, tasks, 0, seconds, cursor)
        if found["requests"]:
            break
    else:
        raise LoadFailed(f"{work}: no answer in {seconds} s; is the machine busy with more?")
    used = service.cpu() - before
    return Load(
        requests=warm["requests"] + found["requests"],
        throughput=found["requests"] / found["microseconds"] * 1e6,
        p50=found["p50"] / 1e3,
        p99=found["p99"] / 1e3,
        cpu=used / found["requests"] * 1e3,
        memory=service.peak / 2**20,
    )


def _drive(
    service: Running, work: str, tasks: int, first: int, seconds: int, cursor: str
) -> dict[str, int]:
    wrk = ["wrk", "--threads=2", f"--connections={CONNECTIONS}", "--timeout=30s"]
    words = [work, str(tasks), str(first), *([cursor] if cursor else [])]
    process = subprocess.run(
        [*wrk, f"--duration={seconds}s", f"--script={SCRIPT}", service.address, "--", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, int] = json.loads(process.stdout.splitlines()[-1])
    if found["failed"]:
        raise LoadFailed(
            f"{work}: {found['failed']} requests failed\n"
            f"{process.stdout}\n{service.output.read_text()[-4_000:]}"
        )
    return found
