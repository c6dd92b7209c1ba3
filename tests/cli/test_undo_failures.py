"""Undo after responses that were lost, and of tasks whose repository is gone."""

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from command_line import Tracker
from helpers import Service


class Relay(ThreadingHTTPServer):
    """A proxy of the service that loses the responses to changes, or puts others in their place."""

    def __init__(self, service: Service) -> None:
        super().__init__(("127.0.0.1", 0), RelayHandler)
        self.service = service
        self.status: int | None = None  # in place of the response to a change; 0: none at all


class RelayHandler(BaseHTTPRequestHandler):
    server: Relay

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        headers = {k: v for k, v in self.headers.items() if k not in {"Host", "Connection"}}
        response = self.server.service.call(self.command, self.path, data=body, headers=headers)
        status = self.server.status if self.command != "GET" else None
        if status == 0:
            self.close_connection = True
            return
        self.send_response(status or response.status_code)
        self.send_header("Content-Length", str(len(response.content)))
        self.end_headers()
        self.wfile.write(response.content)

    do_GET = do_PATCH = do_DELETE = do_POST = answer  # noqa: N815

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def relay(tracker: Tracker) -> Iterator[Relay]:
    with Relay(tracker.service) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        tracker.environment["TRACKER_URL"] = f"http://127.0.0.1:{server.server_port}"
        yield server
        server.shutdown()


@pytest.mark.parametrize("status", [0, 502, 504])
@pytest.mark.parametrize("words", [["done", "--tag", "a"], ["done"], ["rm"], ["edit"]])
def test_a_change_without_a_response_can_be_undone(
    tracker: Tracker, relay: Relay, status: int, words: list[str]
) -> None:
    number = tracker.add("pallets/flask", "One", "+a")
    if "--tag" not in words:
        words = [*words, str(number)]
    if words[0] == "edit":
        words = [*words, "--set-status", "done"]
    relay.status = status
    assert tracker(*words).returncode != 0
    relay.status = None
    done = tracker("undo")
    assert (done.returncode, done.stderr.splitlines()[-1]) == (0, f"Undid {words[0]}: 1 task.")
    (task,) = tracker.service.call("GET", "/tasks").json()
    assert task["status"] == "open"
