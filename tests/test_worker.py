"""The worker serves each connection in a greenlet, and none of them holds up others."""

import gzip
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, suppress
from http import HTTPStatus
from pathlib import Path

import psycopg2
import pytest
import requests

from helpers import Service, served, workers
from raw import LIVE, QUICK, connect, live_seconds, read_response, request, status
from tracker.api.parsing import QUERY_MAX
from tracker.api.security import DEFAULT_POLICY, HEADERS
from tracker.demo.github import Fault, GitHub
from tracker.worker import REQUEST_LINE_MAX

HEAD = b"GET / HTTP/1.1\r\nHost: localhost\r\n"


@pytest.fixture(scope="module")
def one_worker(
    module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The service with one worker, for all tests."""
    environment = {**module_environment, "GITHUB_TIMEOUT": "5", "WEB_CONCURRENCY": "1"}
    with served(environment, tmp_path_factory.mktemp("worker") / "output") as service:
        yield service


def test_idle_connections_and_partial_requests_hold_up_nobody(one_worker: Service) -> None:
    with ExitStack() as stack:
        clients = [connect(one_worker, stack) for _ in range(60)]
        sent = [LIVE[:0], LIVE[:1], LIVE[:20], LIVE[:-1]]
        for number, client in enumerate(clients):
            client.sendall(sent[number % 4])
        assert max(live_seconds(one_worker) for _ in range(10)) < QUICK
        for number, client in enumerate(clients):
            client.sendall(LIVE[len(sent[number % 4]) :])
            assert status(read_response(client)) == 200
        assert live_seconds(one_worker) < QUICK


def test_a_request_that_waits_for_a_lock_holds_up_nobody(
    one_worker: Service, database_url: str
) -> None:
    path = one_worker.post("pallets/flask").headers["Location"]
    other = psycopg2.connect(database_url)
    with closing(other), ThreadPoolExecutor() as pool:
        other.cursor().execute("SELECT * FROM tasks FOR UPDATE")
        waiting = [
            pool.submit(one_worker.call, "PATCH", path, json={"title": "x"}) for _ in range(5)
        ]
        time.sleep(0.2)
        assert max(live_seconds(one_worker) for _ in range(20)) < QUICK
        assert one_worker.call("GET", path).json()["version"] == 1
        other.rollback()
        assert {each.result().status_code for each in waiting} == {200}
    assert one_worker.call("GET", path).json()["version"] == 2


def test_a_request_that_waits_for_github_holds_up_nobody(
    one_worker: Service, module_github: GitHub
) -> None:
    module_github.fault = Fault(delay=1.5)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(one_worker.post, "django/django")
        time.sleep(0.2)
        assert max(live_seconds(one_worker) for _ in range(5)) < QUICK
        assert not waiting.done()
        assert waiting.result().status_code == 201
    module_github.fault = None


def test_many_clients_need_few_threads(one_worker: Service) -> None:
    def read(_: int) -> None:
        with requests.Session() as session:
            for _ in range(20):
                assert session.get(f"http://127.0.0.1:{one_worker.port}/tasks").status_code == 200

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(read, range(16)))
    (worker,) = workers(one_worker)
    assert worker.num_threads() <= 4  # gevent has threads for name look-ups


def test_requests_in_one_packet_get_responses_in_order(one_worker: Service) -> None:
    with ExitStack() as stack:
        client = connect(one_worker, stack)
        creation = request("POST", "/tasks", {"title": "t", "repository": "pallets/flask"})
        client.sendall(LIVE + creation + LIVE.replace(b"live", b"none"))
        assert [status(read_response(client)) for _ in range(3)] == [200, 201, 404]
        client.sendall(LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        read_response(client)
        assert client.recv(1) == b""


@pytest.mark.parametrize("chunked", [False, True])
def test_an_unread_body_is_not_taken_for_a_request(one_worker: Service, chunked: bool) -> None:
    framing = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(LIVE)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(LIVE), LIVE) if chunked else LIVE
    with ExitStack() as stack:
        client = connect(one_worker, stack)
        client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n" % framing + body)
        assert status(read_response(client)) == 404
        client.sendall(LIVE.replace(b"/health/live", b"/nothing"))
        assert status(read_response(client)) == 404


MESSAGES = {
    "headers_too_large": (
        "Request has more than 100 headers, or one over 8 KiB; send fewer or shorter ones."
    ),
    "uri_too_long": "Request line exceeds the 18 KiB limit; send fewer parameters.",
    "expectation_failed": "Header Expect supports 100-continue only; remove it.",
}


@pytest.mark.parametrize(
    ("reason", "head"),
    [
        ("malformed_request", b"nonsense"),
        ("malformed_request", b"GET / HTTP/9.9\r\nHost: localhost"),
        ("malformed_request", HEAD + b"no colon"),
        ("malformed_request", HEAD + b"Content-Length: -1"),
        ("headers_too_large", HEAD + b"X-Long: " + b"x" * 100_000),
        ("uri_too_long", b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\nHost: localhost"),
        ("expectation_failed", HEAD + b"Expect: much"),
    ],
    ids=lambda value: value[:60].decode() if isinstance(value, bytes) else value,
)
def test_a_malformed_request_gets_json_and_the_end(
    one_worker: Service, reason: str, head: bytes
) -> None:
    with ExitStack() as stack:
        client = connect(one_worker, stack)
        client.sendall(head + b"\r\n\r\n" + b"x" * 100_000)  # a reset would discard the response
        response, _, body = read_response(client).partition(b"\r\n\r\n")
        assert 400 <= status(response) < 500
        lines = response.decode().split("\r\n")
        assert {"Content-Type: application/json", "Cache-Control: no-store"} <= set(lines)
        assert {": ".join(header) for header in [DEFAULT_POLICY, *HEADERS]} <= set(lines)
        (request_id,) = (line[14:] for line in lines if line.startswith("X-Request-ID: "))
        error = json.loads(body)
        assert error == {
            "code": status(response),
            "status": HTTPStatus(status(response)).phrase,
            "reason": reason,
            "message": MESSAGES.get(reason, "Request could not be parsed."),
        }
        while client.recv(1000):
            pass
    logged = [line for line in one_worker.log.splitlines() if f" request_id={request_id}" in line]
    assert any(" Invalid request from ip=127.0.0.1: " in line for line in logged)
    assert all(line.count("request_id=") == 1 for line in logged)
    assert not re.search('" 4.* request_id=-', one_worker.log)
    assert "Traceback" not in one_worker.log


@pytest.mark.parametrize(
    ("coding", "expected", "reason"),
    [
        ("foo", 501, "transfer_coding_not_supported"),
        ("foo, chunked", 501, "transfer_coding_not_supported"),
        ("gzip", 400, "malformed_request"),
        ("gzip, chunked", 400, "malformed_json"),
    ],
)
def test_no_transfer_coding_but_chunked_is_decoded(
    one_worker: Service, coding: str, expected: int, reason: str
) -> None:
    body = gzip.compress(b'{"title": "t", "repository": "pallets/flask"}')
    head = "POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    head += f"Transfer-Encoding: {coding}\r\n\r\n"
    with ExitStack() as stack:
        client = connect(one_worker, stack)
        client.sendall(head.encode() + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body))
        response = read_response(client)
    assert status(response) == expected
    assert json.loads(response.partition(b"\r\n\r\n")[2])["reason"] == reason


LARGE = 20_000_000  # bytes; more than the kernel buffers


@pytest.mark.parametrize("connection", ["keep-alive", "close"])
@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(("path", "expected"), [("/tasks", 413), ("/nope", 404)])
def test_a_large_body_gets_a_response_and_no_reset(
    one_worker: Service, connection: str, chunked: bool, path: str, expected: int
) -> None:
    framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {LARGE}"
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n"
    head += f"Content-Type: application/json\r\n{framing}\r\n\r\n"
    body = b"x" * LARGE
    with ExitStack() as stack:
        client = connect(one_worker, stack)
        client.sendall(head.encode())
        client.sendall(b"%x\r\n%s\r\n0\r\n\r\n" % (LARGE, body) if chunked else body)
        assert status(read_response(client)) == expected
        if connection == "close":
            assert client.recv(1) == b""
        else:
            client.sendall(LIVE)
            assert status(read_response(client)) == 200


def test_a_large_body_holds_up_nobody(one_worker: Service) -> None:
    stopped = threading.Event()
    with ExitStack() as stack:
        client = connect(one_worker, stack)
        client.sendall(request("POST", "/nope").replace(b"\r\n\r\n", b"\r\nContent-Length: "))
        client.sendall(b"%d\r\n\r\n" % 10**12)

        def send() -> None:
            with suppress(OSError):
                while not stopped.is_set():
                    client.sendall(b"x" * 1_000_000)

        sender = threading.Thread(target=send)
        sender.start()
        assert status(read_response(client)) == 404
        assert max(live_seconds(one_worker) for _ in range(10)) < QUICK
        stopped.set()
        sender.join()


def list_request(line: int) -> bytes:
    """Return a request for the list whose request line has so many bytes."""
    head, tail = "GET /tasks?tag=", "a HTTP/1.1"
    return f"{head}{'+' * (line - len(head + tail))}{tail}\r\nHost: localhost\r\n\r\n".encode()


def test_a_request_line_has_room_for_the_longest_query(one_worker: Service) -> None:
    with ExitStack() as stack:
        client = connect(one_worker, stack)
        for length, expected in (
            (len("GET /tasks? HTTP/1.1") + QUERY_MAX, 200),
            (REQUEST_LINE_MAX, 422),
            (REQUEST_LINE_MAX + 1, 414),
        ):
            client.sendall(list_request(length))
            assert status(read_response(client)) == expected


def test_every_next_link_is_one_that_the_service_takes(one_worker: Service) -> None:
    word, tags = "語" * 190, [f"{'🎉' * 48}{number:02}" for number in range(20)]
    task = {"description": word, "tags": tags, "repository": "pallets/flask"}
    titles = [f"{number}{'🎉' * 199}" for number in range(3)]  # they make the longest cursor
    for title in titles:
        created = one_worker.call("POST", "/tasks", json=task | {"title": title})
        assert created.status_code == 201
    filters = {"q": word, "tag": tags, "sort": "title", "limit": "1"}
    response = one_worker.call("GET", "/tasks", params=filters)
    found = response.json()
    while next_page := response.links.get("next"):
        response = requests.get(next_page["url"])
        found += response.json()
    assert [task["title"] for task in found] == titles


def test_a_flood_of_requests_on_one_connection_holds_up_nobody(one_worker: Service) -> None:
    stopped = threading.Event()
    with ExitStack() as stack:
        client = connect(one_worker, stack)

        def flood() -> None:
            with suppress(OSError):
                while not stopped.is_set():
                    client.sendall(LIVE * 100)

        def read() -> None:
            with suppress(OSError):
                while client.recv(1_000_000):
                    pass

        threads = [threading.Thread(target=work) for work in (flood, read)]
        for thread in threads:
            thread.start()
        time.sleep(0.5)
        assert max(live_seconds(one_worker) for _ in range(5)) < QUICK
        stopped.set()
        client.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()


def test_connections_beyond_the_limit_wait(environment: dict[str, str], tmp_path: Path) -> None:
    limited = {**environment, "WEB_CONCURRENCY": "1"}
    limited["GUNICORN_CMD_ARGS"] = "--worker-connections 10"
    with served(limited, tmp_path / "output") as service, ExitStack() as stack:
        clients = [connect(service, stack) for _ in range(12)]
        clients[0].sendall(LIVE)
        assert status(read_response(clients[0])) == 200
        clients[-1].sendall(LIVE)
        for client in clients[1:4]:
            client.close()
        assert status(read_response(clients[-1])) == 200


def test_a_response_has_its_head_and_body_in_one_piece(one_worker: Service) -> None:
    with ExitStack() as stack:
        client = connect(one_worker, stack)
        for path in ("/health/live", "/tasks"):
            for _ in range(20):
                client.sendall(request("GET", path))
                head, _, body = client.recv(64 * 1024).partition(b"\r\n\r\n")
                assert f"content-length: {len(body)}" in head.decode().lower()
                assert body
