"""The part "growth": our service with ever more tasks, and how often it asks GitHub."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

from benchmarks import github, server
from benchmarks.load import CONNECTIONS, Load, LoadFailed, measure
from benchmarks.services import OURS, Running, environment, prepare, running
from tracker.tasks.pagination import DEFAULT_SORT, Cursor

WORKS = ("first-page", "far-page", "short-search", "post")
PER_PAGE = 30
FAR = 1_000  # the far page's number
CREATES = 1_000


@dataclass(frozen=True)
class Turn:
    """Our service with so many tasks under one work, in one round."""

    round: int
    work: str
    tasks: int
    load: Load


@dataclass(frozen=True)
class Calls:
    """How often GitHub was asked for CREATES creations."""

    processes: int
    cold: int
    warm: int


def run(sizes: Sequence[int], *, rounds: int, seconds: int) -> list[Turn]:
    """Measure each work with each number of tasks, round after round."""
    turns = []
    with ExitStack() as stack:
        postgres = stack.enter_context(server.running())
        url, _ = stack.enter_context(github.running())
        cache = str(postgres.folder.with_name("github-cache.sqlite"))
        settings = {
            size: environment(postgres.url(f"ours_{size}"), GITHUB_API_BASE=url, GITHUB_CACHE=cache)
            for size in sizes
        }
        for size in sizes:
            print(f"seeding {size} tasks", flush=True)
            postgres.create(f"ours_{size}")
            prepare(OURS, settings[size])
            postgres.seed(f"ours_{size}", size)
        # Where page 1,000 begins, or where there is none, page 1.
        cursors = {size: _cursor(postgres, size) for size in sizes}
        for number in range(1, rounds + 1):
            for work in WORKS:
                for size in sizes:
                    name = work if work != "far-page" or cursors[size] else "first-page"
                    with running(OURS, settings[size]) as process:
                        load = measure(
                            process, name, tasks=size, seconds=seconds, cursor=cursors[size]
                        )
                    if work == "post":
                        _forget(postgres, size)
                    turns.append(Turn(number, work, size, load))
                    print(
                        f"round {number}  {work:12}{size:9} tasks{load.throughput:9.0f} requests/s"
                        f"  p50 {load.p50:7.1f} ms{load.cpu:8.2f} ms CPU",
                        flush=True,
                    )
    return turns


def count_calls() -> list[Calls]:
    """Count the calls to GitHub for CREATES tasks on a few repositories, and for as many again."""
    counted = []
    for processes in (1, 4):
        with server.running() as postgres, github.running() as (url, count):
            settings = environment(
                postgres.url("ours"),
                GITHUB_API_BASE=url,
                GITHUB_CACHE=str(postgres.folder.with_name("github-cache.sqlite")),
                WEB_CONCURRENCY=str(processes),
            )
            postgres.create("ours")
            prepare(OURS, settings)
            with running(OURS, settings) as process:
                numbers = []
                for _ in range(2):
                    _create(process)
                    numbers.append(count())
        counted.append(Calls(processes, *numbers))
        print(f"{CREATES} creates, {processes} processes: {numbers} calls to GitHub", flush=True)
    return counted


def _create(service: Running) -> None:
    names = [repository["full_name"] for repository in github.repositories(github.FEW)]

    def create(number: int) -> int:
        fields = {"title": f"Task {number}", "repository": names[number % len(names)]}
        return service.call("POST", "/tasks", json=fields).status_code

    with ThreadPoolExecutor(CONNECTIONS) as clients:
        statuses = set(clients.map(create, range(CREATES)))
    if statuses != {201}:
        raise LoadFailed(f"creating answered {sorted(statuses)}")


def _cursor(postgres: server.Server, size: int) -> str:
    rows = postgres.execute(
        f"ours_{size}",
        "SELECT created_at, id FROM tasks ORDER BY created_at DESC, id DESC LIMIT 1 OFFSET %s",
        ((FAR - 1) * PER_PAGE - 1,),
    )
    return str(Cursor(DEFAULT_SORT, *rows[0])) if rows else ""


def _forget(postgres: server.Server, size: int) -> None:
    """Remove what the turn has created, and leave no writing to be done later."""
    postgres.execute(f"ours_{size}", "DELETE FROM tasks WHERE id > %s", (size,))
    postgres.execute(f"ours_{size}", "VACUUM tasks")
    postgres.execute("postgres", "CHECKPOINT")
