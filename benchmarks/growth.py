"""The part "growth": measure our service with more and more tasks, and count calls to GitHub."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from benchmarks import github, server
from benchmarks.failures import LoadFailed
from benchmarks.load import CLIENTS, LoadResult, measure
from benchmarks.processes import RunningService, running
from benchmarks.services import OURS, environment, prepare

WORKLOADS = ("first-page", "far-page", "short-search", "post")
PER_PAGE = 30  # the API's default
FAR_PAGE = 1_000  # the page's number
CREATIONS = 1_000


@dataclass(frozen=True)
class Measurement:
    """Our service with so many tasks under one workload, in one round."""

    round: int
    workload: str
    tasks: int
    result: LoadResult


@dataclass(frozen=True)
class Calls:
    """The number of calls to GitHub for CREATIONS creations."""

    processes: int
    first: int  # with an empty cache
    again: int


def run(sizes: Sequence[int], *, rounds: int, seconds: int) -> list[Measurement]:
    """Measure each workload with each number of tasks, round after round."""
    measurements = []
    with ExitStack() as stack:
        postgres = stack.enter_context(server.running())
        url, _ = stack.enter_context(github.running())
        variables = {
            size: environment(postgres.url(f"ours_{size}"), postgres.cache("ours"), url)
            for size in sizes
        }
        cursors = {}
        for size in sizes:
            print(f"seeding {size} tasks", flush=True)
            postgres.create(f"ours_{size}")
            prepare(OURS, variables[size])
            postgres.seed(f"ours_{size}", size)
            with running(OURS, variables[size]) as process:
                cursors[size] = _far_cursor(process)
        for number in range(1, rounds + 1):
            for workload in WORKLOADS:
                for size in sizes:
                    without = workload == "far-page" and not cursors[size]
                    with running(OURS, variables[size]) as process:
                        result = measure(
                            process,
                            "first-page" if without else workload,
                            tasks=size,
                            seconds=seconds,
                            cursor=cursors[size],
                        )
                    if workload == "post":
                        _remove_created(postgres, size)
                    measurements.append(Measurement(number, workload, size, result))
                    print(
                        f"round {number}  {workload:12}{size:9} tasks"
                        f"{result.throughput:9.0f} requests/s"
                        f"  p50 {result.p50:7.1f} ms{result.cpu:8.2f} ms CPU",
                        flush=True,
                    )
    return measurements


def count_calls() -> list[Calls]:
    """Count the calls to GitHub for CREATIONS creations, and for as many again."""
    counted = []
    for processes in (1, 4):
        with server.running() as postgres, github.running() as (url, count):
            variables = environment(
                postgres.url("ours"),
                postgres.cache("ours"),
                url,
                WEB_CONCURRENCY=str(processes),
            )
            postgres.create("ours")
            prepare(OURS, variables)
            with running(OURS, variables) as process:
                numbers = []
                for _ in range(2):
                    _create(process)
                    numbers.append(count())
        counted.append(Calls(processes, *numbers))
        print(f"{CREATIONS} creations, {processes} processes: {numbers} calls", flush=True)
    return counted


def _create(service: RunningService) -> None:
    names = [repository["full_name"] for repository in github.repositories(github.KNOWN)]

    def create(number: int) -> int:
        fields = {"title": f"Task {number}", "repository": names[number % len(names)]}
        return service.call("POST", "/tasks", json=fields).status_code

    with ThreadPoolExecutor(CLIENTS) as clients:
        statuses = set(clients.map(create, range(CREATIONS)))
    if statuses != {201}:
        raise LoadFailed(f"creations got the statuses {sorted(statuses)}, not only 201")


def _far_cursor(service: RunningService) -> str:
    """Walk to page FAR_PAGE, in larger steps, and return its cursor; empty if there are fewer."""
    remaining, cursor = (FAR_PAGE - 1) * PER_PAGE, ""
    while remaining:
        limit = min(remaining, 100)
        query = {"limit": str(limit), **({"cursor": cursor} if cursor else {})}
        response = service.call("GET", "/tasks", params=query)
        if "next" not in response.links:
            return ""
        cursor = parse_qs(urlsplit(response.links["next"]["url"]).query)["cursor"][0]
        remaining -= limit
    return cursor


def _remove_created(postgres: server.Server, size: int) -> None:
    """Remove the tasks that the workload created, and write everything to disk."""
    postgres.execute(f"ours_{size}", "DELETE FROM tasks WHERE id > %s", (size,))
    postgres.execute(f"ours_{size}", "VACUUM tasks")
    postgres.execute("postgres", "CHECKPOINT")
