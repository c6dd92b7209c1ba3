"""Imports into the running service: others are served, and an interrupted one leaves nothing."""

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing

import psycopg2
import pytest
import requests

from conftest import clear
from helpers import PATIENCE, Service, served, wait_for, workers
from raw import read_response, status

HEAD = b"POST /tasks/import HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/plain\r\n"
LINE = b'{"title": "Read the docs", "repository": "pallets/flask", "tags": ["a", "b"]}\n'
MANY = 5_000
MEMORY_MAX = 16  # MiB


@pytest.fixture(scope="module")
def shared_service(
    module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The service with one worker, for all tests."""
    environment = {**module_environment, "WEB_CONCURRENCY": "1"}
    with served(environment, tmp_path_factory.mktemp("import") / "output") as service:
        yield service


@pytest.fixture
def service(shared_service: Service, database_url: str) -> Iterator[Service]:
    """That service; the tasks are deleted after the test."""
    yield shared_service
    clear(database_url)


def send(service: Service, body: bytes | Iterator[bytes], query: str = "") -> requests.Response:
    headers = {"Content-Type": "text/plain"}
    return service.call("POST", f"/tasks/import?{query}", data=body, headers=headers)


def count(url: str) -> int:
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM tasks")
        (found,) = cursor.fetchone() or (0,)
        return int(found)


def connect(service: Service) -> socket.socket:
    return socket.create_connection(("127.0.0.1", service.port), timeout=PATIENCE)


def test_others_are_served_during_an_import(service: Service, database_url: str) -> None:
    (worker,) = workers(service)
    send(service, LINE * 1000, "dry_run=true")
    before = worker.memory_info().rss
    responses: list[requests.Response] = []
    client = threading.Thread(target=lambda: responses.append(send(service, LINE * MANY)))
    client.start()
    seconds, memory = [], []
    with requests.Session() as session:
        session.trust_env = False
        while client.is_alive():
            started = time.monotonic()
            assert session.get(f"http://127.0.0.1:{service.port}/health/live").status_code == 200
            seconds.append(time.monotonic() - started)
            memory.append(worker.memory_info().rss - before)
    client.join()
    assert responses[0].json()["created"] == MANY == count(database_url)
    assert sorted(seconds)[len(seconds) // 2] < 0.1
    assert max(memory) < MEMORY_MAX * 2**20


def test_a_chunked_body_is_imported(service: Service, database_url: str) -> None:
    assert send(service, iter([b"a/b\nc", b"/d\n"])).json()["created"] == 2
    assert count(database_url) == 2


@pytest.mark.parametrize(
    "rest",
    [b"Content-Length: 100\r\n\r\na/b\n", b"Transfer-Encoding: chunked\r\n\r\n4\r\na/b\n\r\n"],
    ids=["length", "chunked"],
)
def test_a_body_that_ends_too_soon_is_not_imported(
    service: Service, database_url: str, rest: bytes
) -> None:
    with closing(connect(service)) as client:
        client.sendall(HEAD + rest)
        client.shutdown(socket.SHUT_WR)
        assert status(read_response(client)) == 400
    assert count(database_url) == 0
    assert "Traceback" not in service.log


def test_another_import_has_to_wait(service: Service, database_url: str) -> None:
    with closing(connect(service)) as client:
        client.sendall(HEAD + b"Content-Length: 8\r\n\r\na/b\n")
        wait_for(lambda: send(service, b"a/b").status_code == 503)
        response = send(service, b"a/b")
        assert (response.json()["reason"], response.headers["Retry-After"]) == (
            "import_in_progress",
            "10",
        )
        client.sendall(b"c/d\n")
        assert status(read_response(client)) == 200
    assert send(service, b"a/b").status_code == 200


def test_a_killed_import_leaves_nothing(service: Service, database_url: str) -> None:
    (worker,) = workers(service)
    client = threading.Thread(target=send_in_vain, args=(service,))
    client.start()
    wait_for(lambda: is_inserting(database_url))
    worker.kill()
    client.join(PATIENCE)
    wait_for(service.answers)
    wait_for(lambda: not is_inserting(database_url))
    assert count(database_url) == 0


def send_in_vain(service: Service) -> None:
    with pytest.raises(requests.ConnectionError):
        send(service, LINE * MANY)


def is_inserting(url: str) -> bool:
    """Return whether a transaction has stored tasks, and not ended."""
    with closing(psycopg2.connect(url)) as connection, connection.cursor() as cursor:
        cursor.execute(
            "SELECT 1 FROM pg_stat_activity WHERE backend_xid IS NOT NULL"
            " AND datname = current_database() AND query LIKE 'INSERT INTO tasks%'"
        )
        return cursor.fetchone() is not None


def test_imports_of_two_workers_run_one_at_a_time(service: Service, database_url: str) -> None:
    with closing(psycopg2.connect(database_url)) as other, other.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (0x6974_696D_706F_7274,))
        assert send(service, b"a/b").json()["reason"] == "import_in_progress"
    assert send(service, b"a/b").status_code == 200
