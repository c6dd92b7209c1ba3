"""Fixtures: two nodes behind nginx, on Debian's PostgreSQL and Redis."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from debian_postgresql import PostgreSQL, postgresql_servers
from helpers import free_port
from nginx import example, running_nginx
from nodes import Nodes
from redis_server import redis_running
from tracker.config import Settings
from tracker.database import migrations
from tracker.demo.github import GitHub


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for the output of all programs."""
    return tmp_path_factory.mktemp("cluster")


@pytest.fixture(scope="module")
def stand_in() -> Iterator[GitHub]:
    """A stand-in for GitHub that all nodes ask."""
    with GitHub() as stand_in:
        yield stand_in


@pytest.fixture
def shared_github(stand_in: GitHub) -> Iterator[GitHub]:
    """The stand-in, without a fault, and with no calls noted."""
    stand_in.calls.clear()
    yield stand_in
    stand_in.fault = None


@pytest.fixture(scope="module")
def redis_port() -> Iterator[int]:
    """The port of a Redis."""
    port = free_port()
    with redis_running(port):
        yield port


@pytest.fixture(scope="module")
def variables(stand_in: GitHub, redis_port: int) -> dict[str, str]:
    """The environment of each node, but for its database."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TMPDIR") if name in os.environ}
    return kept | {
        "GITHUB_API_BASE": stand_in.url,
        "GITHUB_CACHE": f"redis://127.0.0.1:{redis_port}/0",
        "GITHUB_TIMEOUT": "5",
        "FORWARDED_ALLOW_IPS": "127.0.0.1",
    }


@pytest.fixture(scope="module")
def primary() -> Iterator[PostgreSQL]:
    """A server with the schema."""
    with postgresql_servers("primary") as (primary,):
        migrations.upgrade(Settings(database_url=primary.url))
        yield primary


@pytest.fixture(scope="module")
def nodes(primary: PostgreSQL, variables: dict[str, str], folder: Path) -> Iterator[Nodes]:
    """Two nodes behind nginx."""
    port, ports = free_port(), (free_port(), free_port())
    environment = variables | {"DATABASE_URL": primary.url}
    with (
        running_nginx(example(port, ports), environment, folder / "nginx", port) as nginx,
        ExitStack() as stack,
    ):
        nodes = Nodes(nginx, ports, environment, folder)
        for number in (0, 1):
            nodes.start(number)
            stack.callback(nodes.end, number)
        yield nodes
