"""GitHub as seen from several workers, which share a cache."""

import math
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from helpers import served, wait_for, workers
from tracker.demo.github import Fault, GitHub


def test_all_workers_together_fetch_a_repository_once(
    environment: dict[str, str], output: Path, github: GitHub
) -> None:
    names = list(github.repositories)[:10]
    with served(environment, output) as service, ThreadPoolExecutor(8) as threads:
        first = [service.post(name) for name in names]
        rest = list(threads.map(service.post, names * 19))
    assert {response.status_code for response in first + rest} == {201}
    assert sorted(call.path for call in github.calls) == sorted(f"/repos/{name}" for name in names)


def test_all_workers_together_make_one_call_that_takes_long(
    environment: dict[str, str], output: Path, github: GitHub
) -> None:
    github.fault = Fault(delay=2.0)  # longer than a lease that is not renewed
    with (
        served(environment | {"GITHUB_TIMEOUT": "6"}, output) as service,
        ThreadPoolExecutor(20) as threads,
    ):
        wait_for(lambda: len(workers(service)) == 2)
        responses = list(threads.map(service.post, ["pallets/flask"] * 20))
    assert {response.status_code for response in responses} == {201}
    assert len(github.calls) == 1


def test_no_worker_calls_github_before_its_rate_limit_ends(
    environment: dict[str, str], output: Path, github: GitHub
) -> None:
    names = list(github.repositories)
    with served(environment, output) as service, ThreadPoolExecutor(8) as threads:
        wait_for(lambda: len(workers(service)) == 2)
        github.remaining, github.reset = 0, math.ceil(time.time()) + 1.0
        responses = [service.post(names[0]), *threads.map(service.post, names)]
        assert {response.status_code for response in responses} == {503}
        assert all(1 <= int(response.headers["Retry-After"]) <= 2 for response in responses)
        assert len(github.calls) == 1, service.log
        wait_for(lambda: service.post("pallets/flask").status_code == 201)
        assert time.time() >= github.reset
        assert len(github.calls) == 2
