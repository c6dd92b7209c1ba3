"""A Redis server for a test."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from redis import Redis, RedisError

from helpers import wait_for


@contextmanager
def redis_running(port: int) -> Iterator[str]:
    """Run a Redis that writes no files; return its URL. Skip the test without redis-server."""
    command = shutil.which("redis-server")
    if command is None:
        pytest.skip("redis-server is not installed")
    options = ["--bind", "127.0.0.1", "--port", str(port), "--save", "", "--dir", "/"]
    with subprocess.Popen([command, *options], stdout=subprocess.DEVNULL) as process:
        try:
            wait_for(lambda: _responds(port))
            yield f"redis://127.0.0.1:{port}/0"
        finally:
            process.kill()


def _responds(port: int) -> bool:
    try:
        with Redis(port=port) as redis:
            return bool(redis.ping())
    except RedisError:
        return False
