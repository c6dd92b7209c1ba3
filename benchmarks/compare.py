"""The part "peers": measure our service and its peers under the same workloads."""

from collections.abc import Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import github, server
from benchmarks.failures import LoadFailed
from benchmarks.load import COUNT_CHANGES, LoadResult, measure
from benchmarks.processes import RunningService, running
from benchmarks.services import Service, environment, prepare

# Ours has these too, and the peers and the baseline do not: a little more work for ours.
OURS_ALONE = {"issue", "issue_url", "topics", "license", "homepage", "fork", "visibility"}
TIMES = ("pushed_at", "metadata_fetched_at", "created_at", "updated_at")


@dataclass(frozen=True)
class Plan:
    """Services, workloads and times of the part."""

    services: Sequence[Service]  # ours first
    workloads: Sequence[str]
    clients: int
    rounds: int
    seconds: int
    tasks: int


@dataclass(frozen=True)
class Measurement:
    """One service under one workload, in one round."""

    round: int
    workload: str
    service: str
    result: LoadResult


def run(plan: Plan) -> list[Measurement]:
    """Measure each service under each workload, one service at a time, round after round.

    Raises:
        LoadFailed: a request failed, or a service responded differently from ours.
        StartFailed: a service did not start.
    """
    measurements = []
    with ExitStack() as stack:
        postgres = stack.enter_context(server.running())
        url, _ = stack.enter_context(github.running())
        variables = {
            service.name: environment(
                postgres.url(service.database_of or service.name),
                postgres.cache(service.name),
                url,
                clients=plan.clients,
            )
            for service in plan.services
        }
        _create_databases(postgres, variables, plan)
        for number in range(1, plan.rounds + 1):
            for workload in plan.workloads:
                for service in plan.services:
                    if service.workloads and workload not in service.workloads:
                        continue
                    result = _measure(postgres, service, variables[service.name], workload, plan)
                    measurements.append(Measurement(number, workload, service.name, result))
                    print(
                        f"round {number}  {workload:12}  {service.title:23}"
                        f"{result.throughput:9.0f} requests/s  p99 {result.p99:8.1f} ms"
                        f"{result.cpu:8.2f} ms CPU{result.memory:6.0f} MiB",
                        flush=True,
                    )
    return measurements


def _measure(
    postgres: server.Server,
    service: Service,
    variables: dict[str, str],
    workload: str,
    plan: Plan,
) -> LoadResult:
    with running(service, variables) as process:
        result = measure(
            process, workload, tasks=plan.tasks, seconds=plan.seconds, clients=plan.clients
        )
    if workload in COUNT_CHANGES:
        statement = COUNT_CHANGES[workload].format(tasks=plan.tasks)
        ((changes,),) = postgres.execute(service.name, statement)
        postgres.restore(service.name)
        if changes < result.requests:
            raise LoadFailed(
                f"{service.title}: {result.requests} requests of {workload} made "
                f"{changes} changes in the table"
            )
    return result


def _create_databases(
    postgres: server.Server, variables: dict[str, dict[str, str]], plan: Plan
) -> None:
    """Create a database with the same tasks for each service, and compare its responses to ours."""
    own = [service for service in plan.services if service.prepare]
    expected: dict[str, Any] = {}
    for service in own:
        postgres.create(service.name)
        prepare(service, variables[service.name])
        postgres.seed(service.name, plan.tasks)
        postgres.snapshot(service.name)
        with running(service, variables[service.name]) as process:
            responses = _reads(process, plan.tasks) | _others(process, plan.tasks)
        postgres.restore(service.name)
        expected = expected or responses
        _compare(service, responses, expected)
    for service in plan.services:
        if service.database_of:
            with running(service, variables[service.name]) as process:
                _compare(service, _reads(process, plan.tasks), expected)


def _compare(service: Service, responses: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, response in responses.items():
        if response != expected[name]:
            raise LoadFailed(
                f"{service.title}: {name} differs from ours\n{response}\nours: {expected[name]}"
            )


def _reads(service: RunningService, tasks: int) -> dict[str, Any]:
    """Return the parts of a task's response in which all services agree."""
    response = service.call("GET", _path(tasks))
    return {"a task": _comparable(response.json()), "its ETag": response.headers["ETag"]}


def _others(service: RunningService, tasks: int) -> dict[str, Any]:
    """Send a request of each other workload, and return the parts in which all services agree."""
    one = _path(tasks)
    known = service.call("GET", one)
    unchanged = service.call("GET", one, headers={"If-None-Match": known.headers["ETag"]})
    fields = {"title": " Try it ", "repository": "pallets/flask", "tags": ["upgrade"]}
    created = service.call("POST", "/tasks", json=fields)
    refused = service.call("POST", "/tasks", json={**fields, "title": "", "status": "lost"})
    status = "open" if known.json()["status"] == "done" else "done"
    changed = service.call("PATCH", one, json={"status": status})
    modified = service.call("GET", one, headers={"If-None-Match": known.headers["ETag"]})
    clock = {"created_at", "updated_at", "metadata_fetched_at"}
    return {
        "304": (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]),
        # The first task is the one that was created above.
        "a page": [_comparable(task) for task in _page(service)[1:]],
        "a filtered page": [task["id"] for task in _page(service, "&status=in_progress")],
        "a search": [
            [task["id"] for task in _page(service, f"&q={word}")] for word in _searched_words()
        ],
        "a created task": (created.status_code, _comparable(created.json(), without=clock)),
        "its fields": sorted(created.json().keys() - OURS_ALONE),
        "a refused task": refused.status_code in (400, 422),
        "a changed task": (changed.status_code, _comparable(changed.json(), {"updated_at"})),
        "its updated_at": changed.json()["updated_at"] > known.json()["updated_at"],
        "a changed version": (modified.status_code, modified.json()["version"]),
    }


def _path(tasks: int) -> str:
    return f"/tasks/{tasks // 2}"


def _page(service: RunningService, query: str = "") -> list[dict[str, Any]]:
    page = service.call("GET", f"/tasks?limit=100{query}").json()
    found: list[dict[str, Any]] = page if isinstance(page, list) else page["results"]
    return found


def _searched_words() -> list[str]:
    """Return the words that load.lua searches for."""
    text = Path(__file__).with_name("load.lua").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("local subjects")]
    return line.split('"')[1::2]


def _comparable(task: dict[str, Any], without: Set[str] = frozenset()) -> dict[str, Any]:
    """Return the task with its times parsed, since services format them differently."""
    return {
        name: datetime.fromisoformat(value) if name in TIMES and value else value
        for name, value in sorted(task.items())
        if name not in OURS_ALONE | without
    }
