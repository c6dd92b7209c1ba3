"""Requests that wait for GitHub hold up no others, and each gets its response in time."""

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from gated import (
    EXPIRED,
    FLASK,
    MARGIN,
    TIMEOUT,
    Gated,
    busy_connections,
    create,
    gated_environment,
    report_load,
)
from helpers import Load, connections, descriptors, served, wait_for
from raw import connect, read_response, request, status
from readers import Readers, check_as_fast
from tracker.config import Settings
from tracker.database import migrations
from tracker.demo.github import FAULTS, Fault, GitHub

pytestmark = pytest.mark.failure

CREATIONS = 300


@pytest.fixture
def github() -> Iterator[Gated]:
    with Gated() as stand_in:
        yield stand_in


@pytest.fixture
def environment(empty_database_url: str, github: Gated, tmp_path: Path) -> dict[str, str]:
    """The environment of a service with one worker, a small pool, and a cache of one second."""
    migrations.upgrade(Settings(database_url=empty_database_url))
    return gated_environment(empty_database_url, github, str(tmp_path / "cache.sqlite"))


@pytest.mark.slow  # test_concurrency.py has 300 calls, and test_worker.py one beside reads
def test_300_creations_waiting_for_github_hold_up_no_reads(
    environment: dict[str, str], github: Gated, tmp_path: Path, report: Callable[..., None]
) -> None:
    url, found, timeout = environment["DATABASE_URL"], Load(), 4.0
    environment = {**environment, "GITHUB_TIMEOUT": str(timeout)}
    with served(environment, tmp_path / "output") as service, ExitStack() as stack:
        readers = Readers(service)
        before = readers.measure(1)
        start = connections(url), descriptors(service)
        github.fault = FAULTS["silent"]
        clients = [connect(service, stack) for _ in range(CREATIONS)]
        began = time.monotonic()
        for number, client in enumerate(clients):
            repository = f"many/{number}"
            client.sendall(request("POST", "/tasks", {"title": "t", "repository": repository}))
        meanwhile = readers.measure(2)
        assert time.monotonic() - began < timeout
        assert busy_connections(url) == 0
        statuses = Counter(status(read_response(client)) for client in clients)
        seconds = time.monotonic() - began
        github.fault = None
        ended = time.monotonic()
        assert create(service, found, "after", "git/git").status_code == 201
        recovery = time.monotonic() - ended
        stack.close()
        wait_for(lambda: descriptors(service) <= start[1] + 110)  # connections to GitHub
        report_load(
            report,
            f"GitHub: silent, {CREATIONS} creations at once",
            found,
            url,
            recovery=recovery,
            start=start,
            end=(connections(url), descriptors(service)),
            slowest=f"{seconds:.2f} s, {meanwhile[-1]:.2f} s (reads and edits)",
        )
    assert statuses == {504: CREATIONS}
    assert seconds < timeout + 4  # far from one after the other
    check_as_fast(meanwhile, before)


@pytest.mark.slow  # test_workers.py has the same with two workers
def test_twenty_creations_share_one_slow_call(
    environment: dict[str, str], github: Gated, tmp_path: Path, report: Callable[..., None]
) -> None:
    url, found = environment["DATABASE_URL"], Load()
    github.fault = Fault(delay=2.0)
    defaults = {"DATABASE_POOL_SIZE": "", "GITHUB_TIMEOUT": "", "GITHUB_CACHE_TTL": ""}
    with served({**environment, **defaults}, tmp_path / "output") as service:
        start = connections(url), descriptors(service)
        with ThreadPoolExecutor(20) as threads:
            list(threads.map(lambda n: create(service, found, f"task {n}", FLASK), range(20)))
        report_load(
            report,
            "GitHub: takes 2 s, 20 at once for one repository",
            found,
            url,
            recovery=0.0,
            start=start,
            end=(connections(url), descriptors(service)),
            slowest=f"{found.slowest():.2f} s",
        )
    assert found.seen() == {201: 20}
    assert len(github.calls) == 1


@pytest.mark.slow  # test_idempotency.py has 20 repeats, and test_worker.py a call beside reads
def test_repeated_creations_with_a_key_hold_up_no_reads(
    environment: dict[str, str], github: Gated, tmp_path: Path, report: Callable[..., None]
) -> None:
    url, found = environment["DATABASE_URL"], Load()

    def repeat() -> requests.Response:
        return create(service, found, "one", "git/git", headers={"Idempotency-Key": "key"})

    patient = {**environment, "GITHUB_TIMEOUT": "15"}
    with served(patient, tmp_path / "output") as service, ThreadPoolExecutor(21) as threads:
        readers = Readers(service)
        before = readers.measure(1)
        start = connections(url), descriptors(service)
        with github.holding():
            creations = [threads.submit(repeat)]
            wait_for(lambda: github.held == 1)
            creations += [threads.submit(repeat) for _ in range(20)]
            meanwhile = readers.measure(1.5)
            assert github.held == 1
            assert not found.answers
            ended = time.monotonic()
        created = [creation.result() for creation in creations]
        report_load(
            report,
            "GitHub: silent, 20 repeats with a key",
            found,
            url,
            recovery=found.recovery(ended),
            start=start,
            end=(connections(url), descriptors(service)),
            slowest=f"{meanwhile[-1]:.2f} s (reads and edits)",
        )
    assert found.seen() == {201: 21}
    assert len({response.json()["id"] for response in created}) == 1
    assert sum("Idempotency-Replayed" in response.headers for response in created) == 20
    assert [call.path for call in github.calls].count("/repos/git/git") == 1
    check_as_fast(meanwhile, before)


@pytest.mark.slow  # test_client.py and test_faults.py follow a rename without a service
@pytest.mark.parametrize("stale", [False, True])
def test_a_renamed_repository_is_followed(
    environment: dict[str, str],
    github: Gated,
    tmp_path: Path,
    report: Callable[..., None],
    stale: bool,
) -> None:
    url, found, old, new = environment["DATABASE_URL"], Load(), github.add("old/name"), "new/name"
    with served(environment, tmp_path / "output") as service:
        if stale:
            path = create(service, found, "before", old).headers["Location"]
            time.sleep(EXPIRED)
        start = connections(url), descriptors(service)
        github.rename(old, new)
        response = create(service, found, "after", old)
        assert (response.status_code, response.json()["repository"]) == (201, new)
        if stale:
            assert service.call("GET", path).json()["repository"] == new
        report_load(
            report,
            f"GitHub: 301 to a renamed repository, {'a stale' if stale else 'no cached'} response",
            found,
            url,
            recovery=0.0,
            start=start,
            end=(connections(url), descriptors(service)),
            slowest=f"{found.slowest():.2f} s",
        )


@pytest.mark.slow  # test_faults.py has a closed connection, and a stale response
def test_a_refused_connection_is_a_failure_at_once(
    environment: dict[str, str], tmp_path: Path, report: Callable[..., None]
) -> None:
    url, stale, fresh = environment["DATABASE_URL"], Load(), Load()
    with GitHub() as gone:
        address = gone.url
    port = urlsplit(address).port or 0
    with served({**environment, "GITHUB_API_BASE": address}, tmp_path / "output") as service:
        with GitHub(port):
            task = create(service, Load(), "before", FLASK).json()
        time.sleep(EXPIRED)
        start = connections(url), descriptors(service)
        assert create(service, fresh, "fresh", "git/git").status_code == 502
        response = create(service, stale, "stale", FLASK)
        assert response.status_code == 201
        assert response.json()["metadata_fetched_at"] == task["metadata_fetched_at"]
        assert service.call("GET", f"/tasks/{task['id']}").json() == task
        with GitHub(port):
            ended = time.monotonic()
            assert create(service, fresh, "fresh", "git/git").status_code == 201
            recovery = time.monotonic() - ended
            assert create(service, stale, "stale, again", FLASK).status_code == 201
            end = connections(url), descriptors(service)
        for kind, found in (("no cached", fresh), ("a stale", stale)):
            report_load(
                report,
                f"GitHub: connection refused, {kind} response",
                found,
                url,
                recovery=recovery,
                start=start,
                end=end,
                slowest=f"{found.answers[0].seconds:.2f} s",
            )
            assert found.answers[0].seconds < TIMEOUT + MARGIN
        assert end[0] <= 2
        assert end[1] <= start[1] + 8
