"""GitHub as seen from several workers, which share a cache."""

import math
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from helpers import Service, served, wait_for, workers
from tracker.demo.github import Fault, GitHub


@pytest.fixture(scope="module")
def shared_service(
    module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The service with two workers, for all tests."""
    folder = tmp_path_factory.mktemp("workers")
    environment = {**module_environment, "GITHUB_CACHE": str(folder / "cache.sqlite")}
    with served({**environment, "GITHUB_TIMEOUT": "6"}, folder / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        yield service


@pytest.fixture
def service(shared_service: Service, module_github: GitHub) -> Iterator[Service]:
    """That service; GitHub's calls are those of the test."""
    module_github.calls.clear()
    yield shared_service
    module_github.fault = None


def test_no_worker_calls_github_before_its_rate_limit_ends(
    service: Service, module_github: GitHub
) -> None:
    names = list(module_github.repositories)
    before = module_github.remaining, module_github.reset
    with ThreadPoolExecutor(8) as threads:
        module_github.remaining, module_github.reset = 0, math.ceil(time.time()) + 1.0
        responses = [service.post(names[0]), *threads.map(service.post, names)]
        assert {response.status_code for response in responses} == {503}
        assert all(1 <= int(response.headers["Retry-After"]) <= 2 for response in responses)
        assert len(module_github.calls) == 1, service.log
        wait_for(lambda: service.post("pallets/flask").status_code == 201)
        assert time.time() >= module_github.reset
        assert len(module_github.calls) == 2
    module_github.remaining, module_github.reset = before


def test_all_workers_together_fetch_a_repository_once(
    service: Service, module_github: GitHub
) -> None:
    names = [name for name in module_github.repositories if name != "pallets/flask"][:10]
    with ThreadPoolExecutor(8) as threads:
        first = [service.post(name) for name in names]
        rest = list(threads.map(service.post, names * 19))
    assert {response.status_code for response in first + rest} == {201}
    paths = sorted(call.path for call in module_github.calls)
    assert paths == sorted(f"/repos/{name}" for name in names)


def test_all_workers_together_make_one_call_that_takes_long(
    service: Service, module_github: GitHub
) -> None:
    module_github.fault = Fault(delay=2.0)  # longer than a lease that is not renewed
    with ThreadPoolExecutor(20) as threads:
        responses = list(threads.map(service.post, [list(module_github.repositories)[-1]] * 20))
    assert {response.status_code for response in responses} == {201}
    assert len(module_github.calls) == 1
