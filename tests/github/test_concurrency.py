"""Concurrent requests: one call for one URL, and a bounded number of calls at a time."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace

import pytest

from patched import run_patched
from tracker.config import Settings
from tracker.demo.github import FAULTS, Fault, GitHub
from tracker.errors import GitHubTimeout, RepositoryUnavailable
from tracker.github.calls import CONCURRENCY_MAX
from tracker.github.client import GitHubClient
from tracker.github.repository import Repository

FLASK = "pallets/flask"


def request_at_once(client: GitHubClient, names: list[str]) -> list[Future[Repository]]:
    with ThreadPoolExecutor(len(names)) as threads:
        return [threads.submit(client.repository, name) for name in names]


def test_concurrent_requests_for_one_repository_make_one_call(
    github: GitHub, client: GitHubClient
) -> None:
    github.fault = Fault(delay=0.3)
    futures = request_at_once(client, [FLASK, "Pallets/Flask"] * 10)
    assert len({future.result() for future in futures}) == 1
    assert len(github.calls) == 1


def test_all_waiting_requests_get_the_failure_and_no_later_one(
    github: GitHub, client: GitHubClient
) -> None:
    github.fault = replace(FAULTS["404"], delay=0.3)
    futures = request_at_once(client, [FLASK] * 20)
    assert {type(future.exception()) for future in futures} == {RepositoryUnavailable}
    assert len(github.calls) == 1
    github.fault = None
    assert client.repository(FLASK).name == FLASK


def test_different_repositories_are_requested_in_parallel(
    github: GitHub, client: GitHubClient
) -> None:
    names = list(github.repositories)[:8]
    github.fault = Fault(delay=0.3)
    started = time.monotonic()
    assert [future.result().name for future in request_at_once(client, names)] == names
    assert time.monotonic() - started < 1.2


@pytest.mark.parametrize(("workers", "seconds"), [(CONCURRENCY_MAX // 2, 1.2), (2, 0.3)])
def test_the_workers_share_the_calls_that_github_allows(
    github: GitHub, settings: Settings, workers: int, seconds: float
) -> None:
    names = list(github.repositories)[:8]
    github.fault = Fault(delay=0.3)
    client = GitHubClient(replace(settings, web_concurrency=workers))
    started = time.monotonic()
    assert [future.result().name for future in request_at_once(client, names)] == names
    assert seconds <= time.monotonic() - started < seconds + 0.6


def test_a_request_that_waits_too_long_for_its_call_times_out(
    github: GitHub, settings: Settings
) -> None:
    settings = replace(settings, github_timeout=0.6, web_concurrency=CONCURRENCY_MAX)
    client = GitHubClient(settings)
    names = list(github.repositories)[:4]
    github.fault = FAULTS["silent"]
    started = time.monotonic()
    errors = [future.exception() for future in request_at_once(client, names)]
    assert time.monotonic() - started < 0.6 + 0.5
    assert {str(error) for error in errors} == {"GitHub did not respond within 0.6 seconds."}
    assert {type(error) for error in errors} == {GitHubTimeout}
    github.fault = None
    assert client.repository(FLASK).name == FLASK


def test_in_a_worker_hundreds_of_requests_time_out_together(github: GitHub) -> None:
    github.fault = FAULTS["silent"]
    script = """
from tracker.config import Settings
from tracker.errors import GitHubTimeout
from tracker.github.client import GitHubClient
client = GitHubClient(
    Settings(github_api_base=values["url"], github_cache="memory", github_timeout=1.0)
)

def seconds(name):
    started = time.monotonic()
    try:
        client.repository(name)
    except GitHubTimeout:
        return time.monotonic() - started

greenlets = [gevent.spawn(seconds, f"owner/name-{number}") for number in range(300)]
gevent.joinall(greenlets, raise_error=True)
print(json.dumps([greenlet.value for greenlet in greenlets]))
"""
    seconds = run_patched(script, url=github.url)
    assert min(seconds) >= 0.9
    assert max(seconds) < 3
