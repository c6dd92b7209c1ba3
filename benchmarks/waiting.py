"""The part "waiting": measure reads while other clients wait for GitHub, or send slowly."""

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import crowd, github, server
from benchmarks.failures import LoadFailed
from benchmarks.load import WARM_UP, run_wrk
from benchmarks.processes import RunningService, memory_watched, running
from benchmarks.services import Service, environment, prepare

WORKLOAD = "get"
CLIENTS = crowd.CREATORS + crowd.SLOW
GITHUB_TIMEOUT = 10  # seconds, the default
SILENCE = 15.0  # seconds after which the stand-in responds; the service gave up before
SETTLING = 5.0  # seconds after the start of the last client


@dataclass(frozen=True)
class Reads:
    """The result of one measurement of reads."""

    throughput: float  # requests per second
    p99: float  # milliseconds
    failed: int  # requests
    memory: float  # KiB at most, of the service's processes together


@dataclass(frozen=True)
class Measurement:
    """Reads of one service without the waiting clients, then with them, in one round."""

    round: int
    service: str
    alone: Reads
    crowded: Reads
    accepted: int  # connections of waiting clients that the service had accepted, at least
    waiting: int  # creations without a response at the end
    statuses: dict[int, int]  # responses to creations, by status; 0: the connection closed

    @property
    def ratio(self) -> float:
        """Return the throughput with the waiting clients, divided by the throughput without."""
        return self.crowded.throughput / self.alone.throughput

    @property
    def memory(self) -> float:
        """Return the growth of memory for each waiting client, in KiB."""
        return (self.crowded.memory - self.alone.memory) / CLIENTS


def run(services: Sequence[Service], *, rounds: int, seconds: int, tasks: int) -> list[Measurement]:
    """Measure reads of each service without and with the waiting clients, round after round.

    Raises:
        LoadFailed: reads failed without waiting clients, or a worker process ended.
    """
    measurements = []
    with ExitStack() as stack:
        postgres = stack.enter_context(server.running())
        url, _ = stack.enter_context(github.running(SILENCE))
        variables = {
            service.name: environment(
                postgres.url(service.name),
                postgres.cache(service.name),
                url,
                GITHUB_TIMEOUT=str(GITHUB_TIMEOUT),
            )
            for service in services
        }
        for service in services:
            postgres.create(service.name)
            prepare(service, variables[service.name])
            postgres.seed(service.name, tasks)
        for number in range(1, rounds + 1):
            for service in services:
                measurement = _measure(service, variables[service.name], number, seconds, tasks)
                measurements.append(measurement)
                print(
                    f"round {number}  {service.title:18}"
                    f"{measurement.alone.throughput:9.0f} reads/s alone"
                    f"{measurement.crowded.throughput:9.0f} reads/s crowded"
                    f"{measurement.memory:7.1f} KiB a connection"
                    f"{measurement.accepted:6} accepted  {measurement.statuses}",
                    flush=True,
                )
    return measurements


def _measure(
    service: Service, variables: dict[str, str], number: int, seconds: int, tasks: int
) -> Measurement:
    with running(service, variables) as process:
        alone = _read(process, seconds, tasks)
        workers = process.workers()  # all have started by now
        if alone.failed or not alone.throughput:
            raise LoadFailed(f"{service.title}: reads failed before any client waited")
        with crowd.running(process.address) as state:
            time.sleep(crowd.START + SETTLING)
            before = process.connections()
            crowded = _read(process, seconds, tasks)
            accepted = min(before, process.connections())
            after = state()
        if process.workers() != workers:
            output = process.output.read_text()[-4_000:]
            raise LoadFailed(f"{service.title}: a worker process ended under the load\n{output}")
    return Measurement(
        number,
        service.name,
        alone,
        crowded,
        accepted=accepted,
        waiting=after.creating,
        statuses=after.statuses,
    )


def _read(process: RunningService, seconds: int, tasks: int) -> Reads:
    run_wrk(process, WORKLOAD, tasks=tasks, seconds=WARM_UP)
    with memory_watched(process):
        result = run_wrk(process, WORKLOAD, tasks=tasks, seconds=seconds)
    return Reads(result.throughput, result.p99 / 1e3, result.failed, process.peak / 2**10)
