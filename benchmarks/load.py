"""Load a service with wrk, and measure what the load costs it."""

import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

from benchmarks.failures import LoadFailed
from benchmarks.processes import RunningService, memory_watched

SCRIPT = Path(__file__).with_name("load.lua")
CLIENTS = 16
WARM_UP = 2  # seconds
ATTEMPTS = 3  # a busy machine may get no response in time: repeat the measurement
COUNT_CHANGES = {  # statements that count what a workload changed in a table of so many tasks
    "post": "SELECT count(*) - {tasks} FROM tasks",
    "patch": "SELECT sum(version - 1) FROM tasks",
}


@dataclass(frozen=True)
class LoadResult:
    """The result of one measurement."""

    requests: int  # those of the warm-up included
    throughput: float  # requests per second
    p50: float  # milliseconds
    p99: float  # milliseconds
    cpu: float  # milliseconds for each request, of the service's processes
    memory: float  # MiB at most, of the service's processes together


@dataclass(frozen=True)
class WrkResult:
    """The counts that load.lua writes."""

    requests: int
    microseconds: int
    p50: int  # microseconds
    p99: int  # microseconds
    failed: int  # requests that got no response, or one of status 400 or above
    output: str

    @property
    def throughput(self) -> float:
        """Return requests per second."""
        return self.requests / self.microseconds * 1e6


def measure(
    service: RunningService,
    workload: str,
    *,
    tasks: int,
    seconds: int,
    clients: int = CLIENTS,
    cursor: str = "",
) -> LoadResult:
    """Warm the service up, then load it for so many seconds.

    Raises:
        LoadFailed: a request failed, or none got a response.
    """
    options = {"tasks": tasks, "clients": clients, "cursor": cursor}
    # The warm-up changes the second half of the tasks, and the measurement begins with the first.
    warm = run_wrk(service, workload, seconds=WARM_UP, first=tasks // 2, **options)
    _check(service, workload, warm)
    for _ in range(ATTEMPTS):
        before = service.cpu()
        with memory_watched(service):
            result = run_wrk(service, workload, seconds=seconds, **options)
        _check(service, workload, result)
        if result.requests:
            break
    else:
        raise LoadFailed(
            f"{service.title}: {workload} got no response in {seconds} s; raise --seconds, or end "
            "what keeps the machine busy"
        )
    used = service.cpu() - before
    return LoadResult(
        requests=warm.requests + result.requests,
        throughput=result.throughput,
        p50=result.p50 / 1e3,
        p99=result.p99 / 1e3,
        cpu=used / result.requests * 1e3,
        memory=service.peak / 2**20,
    )


def run_wrk(
    service: RunningService,
    workload: str,
    *,
    tasks: int,
    seconds: int,
    clients: int = CLIENTS,
    first: int = 0,
    cursor: str = "",
) -> WrkResult:
    """Run wrk once. `first` is the number of the first change that the workload makes."""
    wrk = ["wrk", "--threads=2", f"--connections={clients}", "--timeout=30s"]
    words = [workload, str(tasks), str(first), *([cursor] if cursor else [])]
    process = subprocess.run(
        [*wrk, f"--duration={seconds}s", f"--script={SCRIPT}", service.address, "--", *words],
        capture_output=True,
        text=True,
        check=True,
    )
    return WrkResult(**json.loads(process.stdout.splitlines()[-1]), output=process.stdout)


def _check(service: RunningService, workload: str, result: WrkResult) -> None:
    if result.failed:
        raise LoadFailed(
            f"{service.title}: {result.failed} requests of {workload} failed\n{result.output}\n"
            f"{service.output.read_text()[-4_000:]}"
        )
