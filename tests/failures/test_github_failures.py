"""Each fault of GitHub gets its status in time, and affects no other request.

Each fault meets the service twice: without a cached response, and with a stale one.
"""

import re
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from conftest import clear
from faults import ERRORS, REFUSALS, SLOW
from gated import (
    EXPIRED,
    FLASK,
    MARGIN,
    TIMEOUT,
    TOKEN,
    Gated,
    busy_connections,
    create,
    fetch,
    gated_environment,
)
from helpers import (
    Load,
    Service,
    connections,
    descriptors,
    lost_and_doubled,
    served,
    wait_for,
    workers,
)
from tracker.demo.faults import FAULTS, RATE_LIMITS
from tracker.demo.github import Fault
from tracker.errors import GitHubError, GitHubFailed, GitHubRateLimited, GitHubTimeout
from tracker.github.responses import SECONDARY_LIMIT

# tests/github/test_faults.py has each fault of FAULTS without a service, in a moment.
pytestmark = [pytest.mark.failure, pytest.mark.slow]
ELSEWHERE = "//elsewhere"  # in a fault, the address of another host that listens
MORE_FAULTS = {
    "500-retry-after": Fault(500, body=b"", headers={"Retry-After": "30"}),
    "502-retry-after": Fault(502, body=b"", headers={"Retry-After": "30"}),
    "429-for-a-second": Fault(429, body=b"{}", headers={"Retry-After": "1"}),
    "drip-quickly": Fault(padding=1000, drip=0.01),
    "huge-id": Fault(changes={"id": 2**63}),
    "endless-stars": Fault(body=b'{"id": 1, "stargazers_count": ' + b"9" * 10_000 + b"}"),
    "infinite-stars": Fault(changes={"stargazers_count": float("inf")}),
    "redirect-away": Fault(301, headers={"Location": f"http:{ELSEWHERE}/repos/{FLASK}"}),
    "redirect-away-302": Fault(302, headers={"Location": f"http:{ELSEWHERE}/repos/{FLASK}"}),
    "redirect-away-https": Fault(301, headers={"Location": f"https:{ELSEWHERE}/repos/{FLASK}"}),
    "redirect-away-same-scheme": Fault(301, headers={"Location": f"{ELSEWHERE}/repos/{FLASK}"}),
}
ALL_FAULTS = FAULTS | MORE_FAULTS
ALL_ERRORS: dict[str, type[GitHubError]] = {
    **dict.fromkeys(MORE_FAULTS, GitHubFailed),
    "429-for-a-second": GitHubRateLimited,
    "drip-quickly": GitHubTimeout,
    **ERRORS,
}
ALL_SLOW = {"drip-quickly", *SLOW}
LIMITS = {  # and for how many seconds
    **dict.fromkeys(RATE_LIMITS, SECONDARY_LIMIT),
    "403-retry-after": 30,
    "429-retry-after": 30,
    "429-for-a-second": 1,
}


def expected_status(name: str, cached: bool) -> int:
    if name not in ALL_ERRORS or (cached and name not in REFUSALS):
        return 201
    return int(ALL_ERRORS[name].status)


@dataclass
class Setting:
    """A service with one worker, its GitHub, and its cached responses."""

    service: Service
    github: Gated
    url: str  # of the database
    cache: Path
    elsewhere: socket.socket
    fetched: dict[str, str] = field(default_factory=dict)  # metadata_fetched_at, by fault

    def addressed(self, fault: Fault) -> Fault:
        """Return the fault with the other host's address."""
        host, port = self.elsewhere.getsockname()
        location = fault.headers.get("Location", "").replace(ELSEWHERE, f"//{host}:{port}")
        return replace(fault, headers=fault.headers | ({"Location": location} if location else {}))

    def forget_limit(self) -> None:
        """Delete the rate limit from the cache."""
        with closing(sqlite3.connect(self.cache, timeout=5)) as file, file:
            deleted = file.execute("DELETE FROM github WHERE key LIKE '%rate limit of%'")
            assert deleted.rowcount == 1

    @contextmanager
    def failing(self, fault: Fault) -> Iterator[None]:
        """Respond as GitHub to each call with the fault until the block ends."""
        self.github.fault = self.addressed(fault)
        try:
            yield
        finally:
            self.github.fault = None


@pytest.fixture(scope="module")
def setting(database_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """A service with a stale response for each fault."""
    cache = tmp_path_factory.mktemp("failing") / "cache.sqlite"
    with Gated() as github, socket.create_server(("127.0.0.1", 0)) as elsewhere:
        elsewhere.setblocking(False)
        environment = gated_environment(database_url, github, str(cache))
        with served(environment, cache.parent / "output") as service:
            setting = Setting(service, github, database_url, cache, elsewhere)
            for name in ALL_FAULTS:
                github.add(f"fresh/{name}")
                created = service.post(github.add(f"stale/{name}"))
                setting.fetched[name] = created.json()["metadata_fetched_at"]
            time.sleep(EXPIRED)
            yield setting
    clear(database_url)


def snapshot(url: str, exclude: str = "") -> tuple[int, str]:
    """Return the number of tasks, and a hash of their contents, but for those of a title."""
    hash_all = "md5(string_agg(tasks::text, ',' ORDER BY id))"
    found: tuple[int, str] = fetch(
        url, f"SELECT count(*), {hash_all} FROM tasks WHERE title <> %s", exclude
    )
    return found


@pytest.mark.parametrize("name", ALL_FAULTS)
def test_a_fault_gets_its_status_in_time(
    setting: Setting, report: Callable[..., None], name: str
) -> None:
    service, github, url = setting.service, setting.github, setting.url
    found = {False: Load(), True: Load()}  # without a cached response, and with a stale one
    titles = {False: f"{name}, fresh", True: f"{name}, stale"}
    repositories = {False: f"fresh/{name}", True: f"stale/{name}"}
    task = service.post(FLASK).json()
    before, start = snapshot(url), (connections(url), descriptors(service))
    first_call = len(github.calls)
    with setting.failing(ALL_FAULTS[name]), ThreadPoolExecutor(2) as threads:
        with github.holding():
            creations = {
                cached: threads.submit(
                    create, service, found[cached], titles[cached], repositories[cached]
                )
                for cached in found
            }
            wait_for(lambda: github.held == 2)
            check_others(setting, task)
            assert not any(creation.done() for creation in creations.values())
        if name in ALL_SLOW:
            check_others(setting, task)
            assert not any(creation.done() for creation in creations.values())
        responses = {cached: creation.result() for cached, creation in creations.items()}
        if name in ALL_ERRORS:
            assert snapshot(url, exclude=titles[True]) == before
        if name in LIMITS:
            check_limit(setting, LIMITS[name])
    for cached, response in responses.items():
        assert response.status_code == expected_status(name, cached), response.text
        assert found[cached].answers[0].seconds < TIMEOUT + MARGIN
        if response.status_code >= 400:
            assert response.json()["code"] == response.status_code
        elif name in ALL_ERRORS:
            created = response.json()
            assert (created["repository"], created["stars"]) == (f"stale/{name}", task["stars"])
            assert created["metadata_status"] == "current"
            assert created["metadata_fetched_at"] == setting.fetched[name]
    ended = time.monotonic()
    for cached in found:
        wait_for(lambda: is_fetched_again(setting, found[cached], repositories[cached]))  # noqa: B023
    recovery = time.monotonic() - ended
    end = connections(url), descriptors(service)
    for cached, response in responses.items():
        lost, doubled = lost_and_doubled(found[cached], url)
        report(
            f"GitHub: {name}, {'a stale' if cached else 'no cached'} response",
            tries=1,
            seen={response.status_code: 1},
            recovery=f"{recovery:.2f} s",
            lost=lost,
            doubled=doubled,
            connections=f"{start[0]} → {end[0]}",
            descriptors=f"{start[1]} → {end[1]}",
            slowest=f"{found[cached].answers[0].seconds:.2f} s",
        )
        assert (lost, doubled) == (0, 0)
    assert recovery < 1 + MARGIN
    assert end[0] <= 2
    assert end[1] <= start[1] + 4  # connections to GitHub
    tokens = {call.headers["Authorization"] for call in github.calls[first_call:]}
    assert tokens == {f"Bearer {TOKEN}"}
    with pytest.raises(BlockingIOError):  # no one connected
        setting.elsewhere.accept()


def check_others(setting: Setting, task: dict[str, Any]) -> None:
    """Check that the worker reads a task, and that waiting requests hold no connection."""
    assert setting.service.call("GET", f"/tasks/{task['id']}").json() == task
    assert busy_connections(setting.url) == 0


def is_fetched_again(setting: Setting, found: Load, repository: str) -> bool:
    """Return whether a creation calls GitHub again and succeeds."""
    calls = len(setting.github.calls)
    title = f"{len(found.answers)} after {found.answers[0].ended}"
    status = create(setting.service, found, title, repository).status_code
    return status == 201 and len(setting.github.calls) > calls


def check_limit(setting: Setting, seconds: int) -> None:
    """Check that a client is told to wait so long, and that GitHub is not called meanwhile."""
    calls = len(setting.github.calls)
    response = setting.service.post("fresh/limited")
    assert response.status_code == 503
    assert max(seconds - 5, 1) <= int(response.headers["Retry-After"]) <= seconds + 1
    if seconds > 1:
        assert len(setting.github.calls) == calls
        setting.forget_limit()


@pytest.mark.parametrize("name", ["huge", "gzip-bomb"])
def test_a_large_body_takes_little_memory(setting: Setting, name: str) -> None:
    status = Path(f"/proc/{workers(setting.service)[0].pid}/status")
    if not status.exists():
        pytest.skip("needs /proc")

    def peak() -> int:
        return int(re.findall(r"VmHWM:\s+(\d+) kB", status.read_text())[0])

    before = peak()
    with setting.failing(ALL_FAULTS[name]):
        assert setting.service.post(f"fresh/{name}").status_code in (201, 502)
    assert peak() - before < 20_000
