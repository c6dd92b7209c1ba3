"""A connection that is kept between two requests."""

import io
import json
import socket
import threading

import pytest

from helpers import PATIENCE
from tracker.cli.client import Connection
from tracker.cli.failures import explain
from tracker.cli.response import Response

RESPONSE = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"


@pytest.mark.parametrize(
    "message", ["Database can't be reached", "Limit is used up", "Limit is used up; set a token"]
)
@pytest.mark.parametrize("end", [".", "; try again.", "; try again later."])
def test_a_failure_says_once_when_to_try_again(message: str, end: str) -> None:
    body = io.BytesIO(json.dumps({"message": message + end}).encode())
    response = Response(503, [("Retry-After", "5")], body)
    assert explain(response) == f"{message}; try again in 5 s."


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
def test_a_connection_closed_while_idle_is_replaced(method: str) -> None:
    closed = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(PATIENCE)

        def serve() -> None:
            for _ in range(2):
                connection, _ = server.accept()
                with connection:
                    connection.recv(65536)
                    connection.sendall(RESPONSE)
                closed.set()

        thread = threading.Thread(target=serve)
        thread.start()
        transport = Connection(f"http://127.0.0.1:{server.getsockname()[1]}")
        assert transport.send("GET", "/", None, {}).read() == b"{}"
        assert closed.wait(PATIENCE)
        try:
            assert transport.send(method, "/", None, {}).read() == b"{}"
        finally:
            transport.close()
            if thread.is_alive():  # the server still waits where the request failed
                with socket.create_connection(server.getsockname()[:2]):
                    pass
            thread.join()
