"""The part "peers": our service beside other ways to build it, in turn."""

from collections.abc import Sequence, Set
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from benchmarks import github, server
from benchmarks.load import WRITES, Load, LoadFailed, measure
from benchmarks.services import (
    SERVICES,
    Running,
    Service,
    environment,
    prepare,
    running,
)

MOMENTS = ("pushed_at", "metadata_fetched_at", "created_at", "updated_at")


@dataclass(frozen=True)
class Turn:
    """One service under one work, in one round."""

    round: int
    work: str
    service: str
    load: Load


def run(works: Sequence[str], *, rounds: int, seconds: int, tasks: int) -> list[Turn]:
    """Measure each service under each work, one service at a time, round after round.

    Raises:
        LoadFailed: a service does not do what ours does, or a request failed.
    """
    turns = []
    with ExitStack() as stack:
        postgres = stack.enter_context(server.running())
        url, _ = stack.enter_context(github.running())
        settings = {
            service: environment(
                postgres.url(service.borrows or service.name),
                GITHUB_API_BASE=url,
                GITHUB_CACHE=str(postgres.folder.with_name("github-cache.sqlite")),
            )
            for service in SERVICES
        }
        keep_tasks(postgres, settings, tasks)
        for number in range(1, rounds + 1):
            for work in works:
                for service in SERVICES:
                    if service.works and work not in service.works:
                        continue
                    with running(service, settings[service]) as process:
                        load = measure(process, work, tasks=tasks, seconds=seconds)
                    if work in WRITES:
                        check_writes(postgres, service, work, tasks, load)
                        postgres.restore(service.name)
                    turns.append(Turn(number, work, service.name, load))
                    print(
                        f"round {number}  {work:12}  {service.title:22}"
                        f"{load.throughput:9.0f} requests/s  p99 {load.p99:8.1f} ms"
                        f"{load.cpu:8.2f} ms CPU{load.memory:6.0f} MiB",
                        flush=True,
                    )
    return turns


def keep_tasks(
    postgres: server.Server, settings: dict[Service, dict[str, str]], tasks: int
) -> None:
    """Give each service a database with the same tasks, and see that it answers as ours does."""
    expected: dict[str, Any] | None = None
    for service in SERVICES:
        if not service.prepare:
            continue
        postgres.create(service.name)
        prepare(service, settings[service])
        postgres.seed(service.name, tasks)
        postgres.keep(service.name)
        with running(service, settings[service]) as process:
            answers = ask(process, tasks)
        expected = expected or answers
        for name, answer in answers.items():
            if answer != expected[name]:
                raise LoadFailed(
                    f"{service.title}: {name} differs\n{answer}\nours: {expected[name]}"
                )
        postgres.restore(service.name)


def ask(service: Running, tasks: int) -> dict[str, Any]:
    """Ask for what the works will ask for, and give what every service should say alike."""
    one = f"/tasks/{tasks // 2}"
    known = service.call("GET", one)
    unchanged = service.call("GET", one, headers={"If-None-Match": known.headers["ETag"]})
    fields = {"title": " Try it ", "repository": "pallets/flask", "tags": ["upgrade"]}
    created = service.call("POST", "/tasks", json=fields)
    refused = service.call("POST", "/tasks", json={**fields, "title": "", "status": "lost"})
    status = "open" if known.json()["status"] == "done" else "done"
    changed = service.call("PATCH", one, json={"status": status})
    again = service.call("GET", one, headers={"If-None-Match": known.headers["ETag"]})
    own = {"created_at", "updated_at", "metadata_fetched_at"}  # each has its own clock
    return {
        "a task": _comparable(known.json()),
        "its ETag": known.headers["ETag"],
        "304": (unchanged.status_code, unchanged.content, unchanged.headers["ETag"]),
        "a page": [_comparable(task) for task in _page(service, "", own_newest=True)],
        "a filtered page": [task["id"] for task in _page(service, "&status=in_progress")],
        "a search": [[task["id"] for task in _page(service, f"&q={word}")] for word in _words()],
        "creating": (created.status_code, _comparable(created.json(), without=own)),
        "its fields": sorted(created.json()),
        "refusing": refused.status_code in (400, 422),
        "changing": (changed.status_code, _comparable(changed.json(), without={"updated_at"})),
        "its time": changed.json()["updated_at"] > known.json()["updated_at"],
        "no 304": (again.status_code, again.json()["version"]),
    }


def check_writes(
    postgres: server.Server, service: Service, work: str, tasks: int, load: Load
) -> None:
    """See in the table that each request has changed something."""
    ((changes,),) = postgres.execute(service.name, WRITES[work].format(tasks=tasks))
    if changes < load.requests:
        raise LoadFailed(f"{service.title}: {load.requests} of {work} made {changes} changes")


def _page(service: Running, query: str, *, own_newest: bool = False) -> list[dict[str, Any]]:
    answer = service.call("GET", f"/tasks?limit=100{query}").json()
    found: list[dict[str, Any]] = answer if isinstance(answer, list) else answer["results"]
    return found[1:] if own_newest else found  # the newest is what `ask` has created


def _words() -> list[str]:
    """Give the words that load.lua searches for."""
    text = Path(__file__).with_name("load.lua").read_text()
    (line,) = [line for line in text.splitlines() if line.startswith("local subjects")]
    return line.split('"')[1::2]


def _comparable(task: dict[str, Any], without: Set[str] = frozenset()) -> dict[str, Any]:
    """Give the task in one spelling of its moments."""
    values = {name: value for name, value in sorted(task.items()) if name not in without}
    for name in MOMENTS:
        if values.get(name):
            values[name] = datetime.fromisoformat(values[name])
    return values
