"""Waits for PostgreSQL in a worker, which serves other requests meanwhile."""

import socket

from patched import run_patched
from tracker.database import driver

SETUP = """
from tracker.config import Settings
from tracker.database import driver, pool
from tracker.database.connection import configure, connection, database
from tracker.errors import DatabaseUnavailable
driver.use_gevent()

def execute(sql):
    with connection():
        return database.execute_sql(sql).fetchone()[0]

def seconds(function, *args):
    started = time.monotonic()
    try:
        function(*args)
    except DatabaseUnavailable as error:
        return str(error), time.monotonic() - started
    return "", time.monotonic() - started

configure(Settings(database_url=values["url"], database_pool_size=values.get("size", 4)))
"""


def test_other_greenlets_run_during_a_statement(database_url: str) -> None:
    script = """
ticks = 0
def tick():
    global ticks
    while True:
        gevent.sleep(0.02)
        ticks += 1

ticker = gevent.spawn(tick)
started = time.monotonic()
gevent.joinall([gevent.spawn(execute, "SELECT pg_sleep(0.5)") for _ in range(4)], raise_error=True)
print(json.dumps([time.monotonic() - started, ticks]))
"""
    elapsed, ticks = run_patched(SETUP + script, url=database_url)
    assert elapsed < 1.5  # one after the other would take 2
    assert ticks >= 5


def test_greenlets_wait_for_one_of_the_connections(database_url: str) -> None:
    script = """
def backend():
    with connection():
        gevent.sleep(0.02)
        return database.execute_sql("SELECT pg_backend_pid()").fetchone()[0]

greenlets = [gevent.spawn(backend) for _ in range(20)]
gevent.joinall(greenlets, raise_error=True)
print(json.dumps([greenlet.value for greenlet in greenlets]))
"""
    backends = run_patched(SETUP + script, url=database_url, size=2)
    assert len(backends) == 20
    assert len(set(backends)) == 2


def test_a_statement_without_a_response_is_given_up(database_url: str) -> None:
    script = """
driver.RESPONSE_TIMEOUT = 0.3
error, elapsed = seconds(execute, "SELECT pg_sleep(3)")
print(json.dumps([error, elapsed, execute("SELECT 42")]))
"""
    error, elapsed, found = run_patched(SETUP + script, url=database_url)
    assert error == "Database did not respond in time; try again."
    assert 0.3 <= elapsed < 1.5
    assert found == 42


def test_the_server_gives_up_a_statement_first() -> None:
    assert driver.STATEMENT_TIMEOUT / 1000 < driver.RESPONSE_TIMEOUT


def test_a_server_that_never_greets_is_given_up() -> None:
    script = """
driver.CONNECT_TIMEOUT = pool.CONNECT_COOLDOWN = 0.5
greenlets = [gevent.spawn(seconds, execute, "SELECT 1") for _ in range(8)]
gevent.joinall(greenlets, raise_error=True)
print(json.dumps([[greenlet.value for greenlet in greenlets], seconds(execute, "SELECT 1")]))
"""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://127.0.0.1:{silent.getsockname()[1]}/nowhere"
        together, after = run_patched(SETUP + script, url=url, size=8)
    assert {error for error, _ in together} == {"Database can't be reached; try again."}
    assert all(0.4 <= elapsed < 2 for _, elapsed in together)  # side by side
    assert after[1] < 0.4  # not attempted again within CONNECT_COOLDOWN
