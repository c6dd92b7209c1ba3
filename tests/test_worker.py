"""One thread serves all connections of a worker, and none of them makes the others wait."""

import json
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any

import psycopg2
import pytest
import requests

from load import workers
from service import Service, served, wait_for
from tracker.demo.github import Fault, GitHub
from tracker.tasks.loader import HEAD_MAX
from tracker.worker import TOGETHER, _Client

LIVE = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
QUICK = 1.0  # seconds; far less than what is waited for meanwhile


@pytest.fixture
def alone(environment: dict[str, str], tmp_path: Path) -> Iterator[Service]:
    """The service with one worker."""
    with served({**environment, "WEB_CONCURRENCY": "1"}, tmp_path / "output") as service:
        yield service


def connect(service: Service, stack: ExitStack) -> socket.socket:
    address = ("127.0.0.1", service.port)
    return stack.enter_context(closing(socket.create_connection(address, timeout=20)))


def read_answer(client: socket.socket) -> bytes:
    """Read one answer, and not a byte beyond it."""
    received = b""
    while b"\r\n\r\n" not in received:
        received += client.recv(1)
    length = int(received.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while length:
        body = client.recv(length)
        assert body
        received += body
        length -= len(body)
    return received


def read_task(client: socket.socket) -> dict[str, Any]:
    """Read an answer that is a task."""
    head, _, body = read_answer(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    task: dict[str, Any] = json.loads(body)
    return task


def time_of_one(service: Service) -> float:
    started = time.monotonic()
    assert service.answers()
    return time.monotonic() - started


def threads(service: Service) -> int:
    (worker,) = workers(service)
    return int(worker.num_threads())


def test_connections_that_keep_quiet_need_no_thread(
    environment: dict[str, str], tmp_path: Path
) -> None:
    few = {**environment, "WEB_CONCURRENCY": "1", "THREADS": "1"}
    with served(few, tmp_path / "output") as service, ExitStack() as stack:
        silent = [connect(service, stack) for _ in range(50)]
        for client in silent[:25]:
            client.sendall(LIVE)
            assert read_answer(client).startswith(b"HTTP/1.1 200")
        assert time_of_one(service) < QUICK
        for client in silent:  # each of them is still served
            client.sendall(LIVE)
            assert read_answer(client).startswith(b"HTTP/1.1 200")
        assert threads(service) <= 5  # it has four at most, and the main one


def test_with_too_many_idle_connections_those_idle_for_longest_make_room(
    environment: dict[str, str], tmp_path: Path
) -> None:
    few = {**environment, "WEB_CONCURRENCY": "1", "THREADS": "1"}
    few["GUNICORN_CMD_ARGS"] = "--worker-connections 10"
    with served(few, tmp_path / "output") as service, ExitStack() as stack:
        silent = [connect(service, stack) for _ in range(30)]
        assert time_of_one(service) < QUICK
        silent[-1].sendall(LIVE)
        assert read_answer(silent[-1]).startswith(b"HTTP/1.1 200")
        assert silent[0].recv(1) == b""


def test_a_client_in_the_middle_of_its_request_holds_up_nobody(alone: Service) -> None:
    with ExitStack() as stack:
        slow = [connect(alone, stack) for _ in range(10)]
        for client in slow:
            client.sendall(LIVE[:20])
        assert max(time_of_one(alone) for _ in range(20)) < QUICK
        for client in slow:
            client.sendall(LIVE[20:])
            assert read_answer(client).startswith(b"HTTP/1.1 200")


def test_a_thread_hands_the_turn_on_before_it_waits_for_what_a_client_sends(
    steps: list[None],
) -> None:
    server, client = socket.socketpair()
    with _Client(server) as served, client, ThreadPoolExecutor() as pool:
        client.sendall(b"at once")
        assert (served.recv(100), len(steps)) == (b"at once", 0)
        received = pool.submit(served.recv, 100)
        wait_for(lambda: len(steps) == 1)
        client.sendall(b"late")
        assert received.result() == b"late"
        client.close()
        assert (served.recv(100), len(steps)) == (b"", 1)


def test_a_thread_hands_the_turn_on_before_it_waits_for_a_client_that_reads(
    steps: list[None],
) -> None:
    server, client = socket.socketpair()
    with _Client(server) as served, client, ThreadPoolExecutor() as pool:
        served.sendall(b"little")
        assert (client.recv(6), len(steps)) == (b"little", 0)
        much = bytes(range(256)) * 40_000  # more than the kernel keeps
        sent = pool.submit(served.sendall, much)
        wait_for(lambda: len(steps) == 1)
        received = b""
        while len(received) < len(much):
            received += client.recv(1_000_000)
        assert sent.result() is None
        assert received == much


def test_a_request_that_waits_for_a_lock_holds_up_nobody(
    alone: Service, environment: dict[str, str]
) -> None:
    path = alone.post("pallets/flask").headers["Location"]
    other = psycopg2.connect(environment["DATABASE_URL"])
    with closing(other), ThreadPoolExecutor() as pool:
        other.cursor().execute("SELECT * FROM tasks FOR UPDATE")
        waiting = [pool.submit(alone.call, "PATCH", path, json={"title": "x"}) for _ in range(5)]
        time.sleep(0.2)
        assert max(time_of_one(alone) for _ in range(20)) < QUICK
        other.rollback()
        assert {each.result().status_code for each in waiting} == {200}
    assert alone.call("GET", path).json()["version"] == 2


def known(service: Service, number: int, stack: ExitStack) -> list[socket.socket]:
    """Open connections on which the service has answered already."""
    clients = [connect(service, stack) for _ in range(number)]
    for client in clients:
        client.sendall(LIVE)
        read_answer(client)
    return clients


def at_once(service: Service, sent: dict[socket.socket, bytes]) -> None:
    """Send requests so that the worker finds all of them when it looks."""
    (worker,) = workers(service)
    worker.suspend()
    for client, request in sent.items():
        client.sendall(request)
    worker.resume()


def request(method: str, task_id: int, title: str | None = None) -> bytes:
    body = json.dumps({"title": title}).encode() if title else b""
    head = f"{method} /tasks/{task_id} HTTP/1.1\r\nHost: localhost\r\n"
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    return f"{head}{kind}\r\n".encode() + body


def create(service: Service, number: int) -> list[int]:
    return [service.post("pallets/flask").json()["id"] for _ in range(number)]


@contextmanager
def locked(environment: dict[str, str]) -> Iterator[Callable[[], int]]:
    """Keep others from the tasks; give what counts the statements that wait for them."""
    waiting = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE wait_event_type = 'Lock' AND datname = current_database()"
    )
    url = environment["DATABASE_URL"]
    with closing(psycopg2.connect(url)) as other, closing(psycopg2.connect(url)) as observer:
        observer.autocommit = True
        cursor = observer.cursor()
        other.cursor().execute("LOCK TABLE tasks")

        def count() -> int:
            cursor.execute(waiting)
            ((number,),) = cursor.fetchall()
            return int(number)

        yield count


@pytest.mark.parametrize(("number", "statements"), [(2, 1), (TOGETHER, 1), (TOGETHER + 1, 2)])
def test_reads_that_come_together_are_one_statement(
    alone: Service, environment: dict[str, str], number: int, statements: int
) -> None:
    ids = create(alone, number)
    with ExitStack() as stack:
        clients = known(alone, number, stack)
        with locked(environment) as waiting:
            asked = zip(clients, ids, strict=True)
            at_once(alone, {client: request("GET", each) for client, each in asked})
            wait_for(lambda: waiting() == statements)
            assert max(time_of_one(alone) for _ in range(10)) < QUICK
            assert waiting() == statements
        for client, each in zip(clients, ids, strict=True):
            assert read_task(client)["id"] == each


@pytest.mark.parametrize(("beyond", "statements"), [(0, 1), (1, 2)])
def test_a_read_whose_head_is_too_long_to_look_at_is_by_itself(
    alone: Service, environment: dict[str, str], beyond: int, statements: int
) -> None:
    (task_id,) = create(alone, 1)
    head = request("GET", task_id)[:-2] + b"X-Filler: "
    head += b"x" * (HEAD_MAX - len(head) - 4 + beyond) + b"\r\n\r\n"
    with ExitStack() as stack:
        clients = known(alone, 2, stack)
        with locked(environment) as waiting:
            at_once(alone, dict.fromkeys(clients, head))
            wait_for(lambda: waiting() == statements)
        assert [read_task(client)["id"] for client in clients] == [task_id] * 2


def test_a_read_together_that_fails_fails_once_for_all(
    alone: Service, environment: dict[str, str]
) -> None:
    ids = create(alone, 4)
    with ExitStack() as stack, locked(environment):
        clients = known(alone, 4, stack)
        at_once(alone, {client: request("GET", ids[0]) for client in clients})
        started = time.monotonic()
        for client in clients:
            assert read_answer(client).startswith(b"HTTP/1.1 503")
        assert time.monotonic() - started < 3.5  # once the lock_timeout, which is 2


def test_a_read_together_leaves_each_request_its_own_answer(
    alone: Service, environment: dict[str, str]
) -> None:
    first, second = create(alone, 2)
    foreign = request("GET", first).replace(b"localhost", b"example.com")
    with ExitStack() as stack:
        clients = known(alone, 4, stack)
        with locked(environment) as waiting:
            sent = [request("GET", first), foreign, request("GET", 10**17), request("GET", second)]
            at_once(alone, dict(zip(clients, sent, strict=True)))
            assert read_answer(clients[1]).startswith(b"HTTP/1.1 400")  # it waits for no task
            wait_for(lambda: waiting() == 1)
        statuses = [read_answer(clients[each]).split(b" ", 2)[1] for each in (0, 2, 3)]
        assert statuses == [b"200", b"404", b"200"]


def test_what_was_read_together_answers_no_later_request(alone: Service) -> None:
    first, second = create(alone, 2)
    behind = request("GET", first) + request("PATCH", first, "new") + request("GET", first)
    with ExitStack() as stack:
        one, other = known(alone, 2, stack)
        at_once(alone, {one: request("GET", second), other: behind})
        assert [read_task(other)["title"] for _ in range(3)] == ["t", "new", "new"]
        assert read_task(one)["title"] == "t"
        alone.call("PATCH", f"/tasks/{second}", json={"title": "new"})
        one.sendall(request("GET", second))
        assert read_task(one)["title"] == "new"


def test_a_request_that_waits_for_github_holds_up_nobody(alone: Service, github: GitHub) -> None:
    github.fault = Fault(delay=1.5)
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(alone.post, "pallets/flask")
        time.sleep(0.2)
        assert max(time_of_one(alone) for _ in range(5)) < QUICK
        assert not waiting.done()
        assert waiting.result().status_code == 201


def test_quick_requests_of_many_clients_are_served_by_few_threads(alone: Service) -> None:
    def ask(_: int) -> None:
        with requests.Session() as session:
            for _ in range(50):
                assert session.get(f"http://127.0.0.1:{alone.port}/tasks").status_code == 200

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))
    assert threads(alone) < 16


def test_requests_that_come_in_one_packet_are_answered_in_their_order(alone: Service) -> None:
    with ExitStack() as stack:
        client = connect(alone, stack)
        body = json.dumps({"title": "t", "repository": "pallets/flask"}).encode()
        head = (
            b"POST /tasks HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n" % len(body)
        )
        client.sendall(LIVE + head + body + LIVE.replace(b"live", b"none"))
        statuses = [read_answer(client).split(b" ", 2)[1] for _ in range(3)]
        assert statuses == [b"200", b"201", b"404"]
        client.sendall(LIVE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        read_answer(client)
        assert client.recv(1) == b""


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_that_nobody_read_is_not_taken_for_a_request(alone: Service, chunked: bool) -> None:
    kind = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % len(LIVE)
    body = b"%x\r\n%s\r\n0\r\n\r\n" % (len(LIVE), LIVE) if chunked else LIVE
    with ExitStack() as stack:
        client = connect(alone, stack)
        client.sendall(b"POST /nowhere HTTP/1.1\r\nHost: localhost\r\n%s\r\n\r\n" % kind + body)
        assert read_answer(client).startswith(b"HTTP/1.1 404")
        client.sendall(LIVE.replace(b"/health/live", b"/nothing"))
        assert read_answer(client).startswith(b"HTTP/1.1 404")


@pytest.mark.slow  # or rather: to be run while nothing else is
def test_connections_that_come_at_once_are_shared_out(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with served(environment, tmp_path / "output") as service, ExitStack() as stack:
        wait_for(lambda: service.answers() and _all_serve(service))
        clients = [connect(service, stack) for _ in range(40)]
        for client in clients:
            client.sendall(LIVE)
        for client in clients:
            read_answer(client)
        shares = [
            sum(each.status == "ESTABLISHED" for each in worker.net_connections("tcp"))
            for worker in workers(service)
        ]
    assert sum(shares) >= 40
    assert min(shares) >= 8


def _all_serve(service: Service) -> bool:
    """Tell whether both workers have handled a request, in a thread that this takes."""
    return sorted(worker.num_threads() > 1 for worker in workers(service)) == [True, True]


def test_idle_connections_end_soon_when_the_service_stops(alone: Service) -> None:
    with ExitStack() as stack:
        clients = [connect(alone, stack) for _ in range(3)]
        clients[0].sendall(LIVE)
        read_answer(clients[0])
        time.sleep(0.2)
        started = time.monotonic()
        alone.process.terminate()
        time.sleep(0.3)
        clients[1].sendall(LIVE)  # a request that was on its way is still answered
        assert b"connection: close" in read_answer(clients[1]).lower()
        assert alone.process.wait(20) == 0
        assert time.monotonic() - started < 6
