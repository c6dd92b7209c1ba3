"""A database URL with several hosts: the first that accepts a connection is used."""

import socket
from typing import Any

import psycopg2.extensions
import pytest

from helpers import free_port
from patched import run_patched
from tracker.config import Settings
from tracker.database.connection import configure, connection, database
from tracker.errors import DatabaseUnavailable

UNREACHABLE = "Database can't be reached; try again."


def with_first_host(url: str, host: str, port: int) -> str:
    """Return the URL with another host before its own."""
    parameters: dict[str, Any] = psycopg2.extensions.parse_dsn(url)
    parameters["host"] = f"{host},{parameters.get('host', '')}"
    parameters["port"] = f"{port},{parameters.get('port', 5432)}"
    return str(psycopg2.extensions.make_dsn(**parameters))


def test_a_host_that_refuses_is_passed_over(database_url: str) -> None:
    configure(Settings(database_url=with_first_host(database_url, "127.0.0.1", free_port())))
    with connection():
        assert database.execute_sql("SELECT 42").fetchone() == (42,)


def test_an_unknown_host_is_named_as_the_cause() -> None:
    configure(Settings(database_url="postgresql://host.invalid/nowhere"))
    with pytest.raises(DatabaseUnavailable, match="host can't be found"), connection():
        pass


def test_the_last_good_host_is_tried_first(database_url: str) -> None:
    script = """
from tracker.config import Settings
from tracker.database import driver
from tracker.database.connection import configure, connection, database
driver.use_gevent()
driver.CONNECT_TIMEOUT = 0.5
configure(Settings(database_url=values["url"]))

def seconds():
    started = time.monotonic()
    with connection():
        assert database.execute_sql("SELECT 42").fetchone() == (42,)
        database.connection().close()
    return time.monotonic() - started

print(json.dumps([seconds(), seconds()]))
"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = with_first_host(database_url, "127.0.0.1", silent.getsockname()[1])
        first, second = run_patched(script, url=url)
    assert 0.5 <= first < 2
    assert second < 0.4


def test_one_request_at_a_time_waits_for_a_silent_host(database_url: str) -> None:
    script = """
from tracker.config import Settings
from tracker.database import driver, pool
from tracker.database.connection import configure, connection, database
from tracker.errors import DatabaseUnavailable
driver.use_gevent()
driver.CONNECT_TIMEOUT = pool.CONNECT_TIMEOUT = pool.CONNECT_COOLDOWN = 0.5
configure(Settings(database_url=values["url"]))

def seconds(_=None):
    started = time.monotonic()
    try:
        with connection():
            raise AssertionError("a connection to nowhere")
    except DatabaseUnavailable:
        return time.monotonic() - started

first, second = seconds(), seconds()
gevent.sleep(0.6)
print(json.dumps([first, second, sorted(gevent.pool.Pool().map(seconds, range(8)))]))
"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = with_first_host(database_url, "127.0.0.1", silent.getsockname()[1])
        url = psycopg2.extensions.make_dsn(url, dbname="nowhere")
        first, second, later = run_patched(script, url=url)
    assert first >= 0.5
    assert second < 0.4
    assert later[-1] >= 0.5
    assert later[-2] < 0.4


def test_without_a_good_host_the_last_error_is_logged(database_url: str) -> None:
    ports = free_port(), free_port()
    url = f"postgresql://127.0.0.1,127.0.0.1:{ports[1]}/nowhere"
    url = url.replace("127.0.0.1,", f"127.0.0.1:{ports[0]},", 1)
    configure(Settings(database_url=url))
    with pytest.raises(DatabaseUnavailable, match=UNREACHABLE) as caught, connection():
        pass
    assert f"port {ports[1]} failed" in str(caught.value.__cause__)
