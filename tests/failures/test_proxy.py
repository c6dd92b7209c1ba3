"""nginx in front of two instances: one of them ends, and no client sees an error."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from itertools import cycle, islice
from pathlib import Path

import psutil
import pytest

from helpers import (
    CUT,
    Held,
    Service,
    free_port,
    is_alive,
    judge,
    load,
    served,
    wait_for,
    workers,
)
from nginx import example, running_nginx

pytestmark = [pytest.mark.failure, pytest.mark.slow]


@dataclass
class Cluster:
    """nginx, and the ports of the two instances behind it."""

    nginx: Service
    ports: list[int]
    environment: dict[str, str]
    folder: Path

    @contextmanager
    def instance(self, number: int) -> Iterator[Service]:
        """Run one of the instances."""
        output = self.folder / f"instance-{number}-{time.monotonic()}" / "output"
        output.parent.mkdir()
        with served(self.environment, output, port=self.ports[number]) as service:
            wait_for(lambda: len(workers(service)) == 2)
            yield service


@pytest.fixture
def cluster(environment: dict[str, str], tmp_path: Path) -> Iterator[Cluster]:
    port, first, second = free_port(), free_port(), free_port()
    configuration = example(port, (first, second))
    with running_nginx(configuration, environment, tmp_path / "nginx", port) as nginx:
        yield Cluster(nginx, [first, second], environment, tmp_path)


def end(service: Service) -> list[psutil.Process]:
    processes = workers(service)
    service.process.send_signal(signal.SIGTERM)
    return processes


def kill_master(service: Service) -> list[psutil.Process]:
    processes = workers(service)
    service.process.kill()
    return processes


def kill_all(service: Service) -> list[psutil.Process]:
    processes = workers(service)
    os.killpg(service.process.pid, signal.SIGKILL)
    return processes


def gone(processes: list[psutil.Process]) -> bool:
    return not any(map(is_alive, processes))


LEASE = 2.0  # seconds for which a retried creation may wait for the key that a killed one holds


@pytest.mark.parametrize(
    ("name", "stop", "times", "interval"),
    [
        ("SIGTERM", end, 10, 0.0),
        ("master killed", kill_master, 10, 0.0),
        ("all processes killed", kill_all, 4, LEASE),
    ],
)
def test_an_instance_behind_nginx_ends_without_an_error(
    cluster: Cluster,
    report: Callable[..., None],
    name: str,
    stop: Callable[[Service], list[psutil.Process]],
    times: int,
    interval: float,
) -> None:
    url = cluster.environment["DATABASE_URL"]
    with ExitStack() as first, ExitStack() as second:
        stacks = [first, second]
        instances = [stacks[n].enter_context(cluster.instance(n)) for n in (0, 1)]
        wait_for(lambda: cluster.nginx.answers("/health/ready"))
        with load(cluster.nginx) as found:
            found.goes_on()
            before = Held.now(instances[0], url)
            for number in islice(cycle([0, 1]), times):
                processes = stop(instances[number])
                stopped = time.monotonic()
                wait_for(lambda processes=processes: gone(processes))  # type: ignore[misc]
                assert time.monotonic() - stopped < 5
                assert "Traceback" not in instances[number].log
                found.goes_on()
                stacks[number].close()
                instances[number] = stacks[number].enter_context(cluster.instance(number))
                found.goes_on()
                time.sleep(interval)
            after = Held.now(instances[0], url)
        judge(
            report,
            f"nginx and two instances, {name}, {times} times",
            found,
            url,
            tries=times,
            recovery=0.0,
            before=before,
            after=after,
            # nginx cannot retry a response that has begun.
            statuses=(200, 201, 412, CUT) if stop is kill_all else (200, 201, 412),
            pool=4 * 10,
        )
