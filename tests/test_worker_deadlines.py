"""The worker bounds each phase of a request."""

import socket
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress

import pytest

from gated import busy_connections
from helpers import Service, fill, served, wait_for, workers
from raw import LIVE, QUICK, connect, live_seconds, read_response, request, status

# gunicorn with shorter deadlines; gevent has to patch before anything else is imported.
IMPATIENT = """
from gevent import monkey
monkey.patch_all()
import sys
from gunicorn.app.wsgiapp import run
from tracker import client_socket as deadlines
deadlines.HEAD_TIMEOUT = deadlines.BODY_TIMEOUT = deadlines.WRITE_TIMEOUT = 1.0
sys.argv = ["gunicorn", "wsgi:app"]
run()
"""
POST = b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


@pytest.fixture(scope="module")
def impatient(
    module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """The service with one worker and deadlines of a second, for all tests."""
    environment = {
        **module_environment,
        "WEB_CONCURRENCY": "1",
        "GUNICORN_CMD_ARGS": "--keep-alive 1",
    }
    command = (sys.executable, "-c", IMPATIENT)
    with served(environment, tmp_path_factory.mktemp("impatient") / "output", command) as service:
        yield service


@pytest.mark.parametrize(
    "part", [b"", LIVE[:20], POST + b"Content-Length: 100\r\n\r\n{"], ids=["idle", "head", "body"]
)
def test_a_connection_that_misses_a_deadline_is_closed(impatient: Service, part: bytes) -> None:
    with ExitStack() as stack:
        drips = connect(impatient, stack)
        silent = connect(impatient, stack)
        started = time.monotonic()
        for client in (drips, silent):
            client.sendall(part)
        ended = wait_for_end(silent)
        assert 0.8 < ended - started < 3
        if part:  # a byte from time to time does not move the deadline
            assert until_refused(drips, b"x") - started < 5
        assert live_seconds(impatient) < QUICK
    assert "ERROR" not in impatient.log


def test_the_body_of_an_import_may_take_longer(impatient: Service) -> None:
    head = POST.replace(b"/tasks", b"/tasks/import").replace(b"json", b"jsonl")
    with ExitStack() as stack:
        client = connect(impatient, stack)
        client.sendall(head + b"Content-Length: 4\r\n\r\na/")
        time.sleep(1.2)  # longer than the body of another request may take
        client.sendall(b"b\n")
        assert status(read_response(client)) == 200


def wait_for_end(client: socket.socket) -> float:
    """Read until the connection ends; return the time."""
    while client.recv(10_000):
        pass
    return time.monotonic()


def until_refused(client: socket.socket, byte: bytes) -> float:
    """Send a byte from time to time until the connection has ended; return the time."""
    try:
        while True:
            client.sendall(byte)
            time.sleep(0.05)
    except OSError:
        return time.monotonic()


def test_the_late_rest_of_a_body_is_not_taken_for_a_request(impatient: Service) -> None:
    length = b"Content-Length: %d\r\n\r\n" % len(LIVE)
    with ExitStack() as stack:
        client = connect(impatient, stack)
        client.sendall(POST.replace(b"/tasks", b"/nope") + length)
        assert status(read_response(client)) == 404
        time.sleep(1.1)  # longer than a body may take
        with suppress(OSError):  # the connection is closed
            client.sendall(LIVE)
            assert client.recv(1000) == b""


def test_a_client_that_does_not_read_is_dropped(impatient: Service) -> None:
    asset = request("GET", "/docs/swagger-ui-bundle.js")
    (worker,) = workers(impatient)
    before = worker.num_fds()
    with ExitStack() as stack:
        clients = [connect(impatient, stack) for _ in range(10)]
        for client in clients:
            client.sendall(asset * 10)  # more than the kernel buffers
        wait_for(lambda: worker.num_fds() >= before + 10)
        assert live_seconds(impatient) < QUICK
        wait_for(lambda: worker.num_fds() <= before + 1)
    assert live_seconds(impatient) < QUICK
    assert "ERROR" not in impatient.log


def test_an_export_that_nobody_reads_is_ended(
    impatient: Service, module_environment: dict[str, str]
) -> None:
    url = module_environment["DATABASE_URL"]
    fill(url, 2_000, 10_000)
    with ExitStack() as stack:
        client = connect(impatient, stack)
        client.sendall(request("GET", "/tasks/export"))
        wait_for(lambda: busy_connections(url) == 1)
        assert live_seconds(impatient) < QUICK
        wait_for(lambda: busy_connections(url) == 0)
        with pytest.raises(ConnectionResetError):
            while client.recv(1_000_000):
                pass
    assert "ERROR" not in impatient.log


def test_a_slow_head_does_not_shorten_the_deadline_of_the_response(impatient: Service) -> None:
    asset = request("GET", "/docs/swagger-ui-bundle.js")
    with closing(socket.socket()) as client:
        # Else the kernel would buffer the whole response.
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 64 * 1024)
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 1448)
        client.connect(("127.0.0.1", impatient.port))
        client.sendall(asset[:20])
        time.sleep(0.8)  # of the second for the head
        client.sendall(asset[20:30])
        time.sleep(0.05)
        client.sendall(asset[30:])
        time.sleep(0.5)  # longer than what is left of that second
        assert len(read_response(client)) > 1_000_000
