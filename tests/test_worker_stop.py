"""A worker that stops closes its listeners at once, and finishes the requests in progress."""

import http.client
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from helpers import GUNICORN, PATIENCE, Service, is_alive, served, started, wait_for, workers
from patched import run_patched
from raw import LIVE, connect, read_response, request, status
from tracker.demo.github import Fault, GitHub

POST = request("POST", "/tasks", {"title": "t", "repository": "django/django"})


def end_with_sigterm(service: Service) -> None:
    service.process.terminate()


def kill_master(service: Service) -> None:
    service.process.kill()


STOPS = pytest.mark.parametrize("stop", [end_with_sigterm, kill_master])


def ended(processes: list[psutil.Process]) -> bool:
    return not any(map(is_alive, processes))


# Our configuration, with workers that never finish their start.
STARTING = """
from pathlib import Path
exec(Path("gunicorn.conf.py").read_text())
def post_fork(server, worker):
    import time
    print("Worker starts", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_worker_that_still_starts_ends_at_once(
    environment: dict[str, str], tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "starting.py").write_text(STARTING)
    command = [*GUNICORN, "--config", str(tmp_path / "starting.py")]
    with started(command, environment, tmp_path / "output") as service:
        wait_for(lambda: service.log.count("Worker starts") == 2)
        assert service.end(number) == 0
        assert "was sent" not in service.log  # gunicorn's line for a worker that a signal ended


# Our configuration, with workers that print which signals they block at their end.
ENDING = """
from pathlib import Path
exec(Path("gunicorn.conf.py").read_text())
def worker_exit(server, worker):
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    print("Blocked:", *sorted(number.name for number in blocked), flush=True)
"""


@pytest.mark.slow
def test_a_worker_that_ends_blocks_further_signals(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (tmp_path / "ending.py").write_text(ENDING)
    command = [*GUNICORN, "--config", str(tmp_path / "ending.py")]
    environment = {**environment, "WEB_CONCURRENCY": "1"}
    with started(command, environment, tmp_path / "output") as service:
        wait_for(service.answers)
        assert service.end() == 0
        assert "Blocked: SIGQUIT SIGTERM\n" in service.log


def test_the_start_of_a_program_leaves_blocked_signals_blocked() -> None:
    """The start of the embedded server blocks them: one that arrives then waits for its end."""
    assert run_patched("""
import signal, subprocess
from tracker import master
master.end_starting_workers()
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
subprocess.run(["true"], check=True)
print(json.dumps(list(signal.pthread_sigmask(signal.SIG_BLOCK, ()))))
""") == [signal.SIGTERM]


@STOPS
def test_a_stopping_worker_waits_for_requests_and_not_for_idle_clients(
    environment: dict[str, str],
    github: GitHub,
    tmp_path: Path,
    stop: Callable[[Service], None],
) -> None:
    environment = {**environment, "WEB_CONCURRENCY": "1", "GITHUB_TIMEOUT": "10"}
    with served(environment, tmp_path / "output") as service, ExitStack() as stack:
        processes = workers(service)
        idle, half, late, waiting = (connect(service, stack) for _ in range(4))
        idle.sendall(LIVE)
        read_response(idle)
        half.sendall(LIVE[:20])
        late.sendall(LIVE[:20])
        github.fault = Fault(delay=4.0)
        waiting.sendall(POST)
        time.sleep(0.5)
        stop(service)
        stopped = time.monotonic()
        assert idle.recv(1) == b""
        late.sendall(LIVE[20:])  # the other half of a head may follow
        response = read_response(late)
        assert status(response) == 200
        assert b"connection: close" in response.lower()
        with pytest.raises(ConnectionRefusedError):
            connect(service, stack)
        assert time.monotonic() - stopped < 2
        assert half.recv(1) == b""
        assert time.monotonic() - stopped < 4
        assert status(read_response(waiting)) == 201
        finished = time.monotonic()
        wait_for(lambda: ended(processes))
        assert time.monotonic() - finished < 5
        assert "Traceback" not in service.log


@pytest.mark.slow
def test_a_stop_does_not_wait_for_the_end_of_a_reload(
    environment: dict[str, str], github: GitHub, tmp_path: Path
) -> None:
    environment = {**environment, "WEB_CONCURRENCY": "1", "GITHUB_TIMEOUT": "10"}
    with served(environment, tmp_path / "output") as service, ExitStack() as stack:
        github.fault = Fault(delay=4.0)
        waiting = connect(service, stack)
        waiting.sendall(POST)
        time.sleep(0.5)
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: service.log.count("Booting worker") == 2)
        end_with_sigterm(service)
        stopped = time.monotonic()
        wait_for(lambda: not listens(service))
        assert time.monotonic() - stopped < 2
        assert status(read_response(waiting)) == 201
        assert service.process.wait(PATIENCE) == 0
        assert "was sent" not in service.log  # gunicorn's line for a worker that a signal ended
        assert "Traceback" not in service.log


def test_connections_that_wait_to_be_accepted_are_served(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with served(environment, tmp_path / "output") as service, ExitStack() as stack:
        wait_for(lambda: service.log.count("Booting worker") == 2)
        for worker in workers(service):
            worker.suspend()
        clients = [connect(service, stack) for _ in range(10)]
        for client in clients:
            client.sendall(LIVE)
        end_with_sigterm(service)
        time.sleep(0.3)
        resumed = time.monotonic()
        for worker in workers(service):
            worker.resume()
        assert {status(read_response(client)) for client in clients} == {200}
        wait_for(lambda: not listens(service))
        assert time.monotonic() - resumed < 0.8


def listens(service: Service) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", service.port)) == 0


@dataclass
class KeepAliveClients:
    """Clients that send one request after another, each on a connection that it keeps."""

    port: int
    responses: list[float] = field(default_factory=list)  # when each came
    errors: list[str] = field(default_factory=list)  # what became of the other requests

    @contextmanager
    def working(self, number: int = 8) -> Iterator[None]:
        """Send requests until the block ends."""
        stopped = threading.Event()
        threads = [threading.Thread(target=self._work, args=(stopped,)) for _ in range(number)]
        for thread in threads:
            thread.start()
        try:
            wait_for(lambda: len(self.responses) > 10 * number)
            yield
        finally:
            stopped.set()
            for thread in threads:
                thread.join(PATIENCE)

    def _work(self, stopped: threading.Event) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            while not stopped.is_set():
                connection.request("GET", "/tasks")
                response = connection.getresponse()
                response.read()
                assert response.status == 200
                self.responses.append(time.monotonic())
                if response.will_close:
                    break
        except (OSError, http.client.HTTPException, AssertionError) as error:
            self.errors.append(repr(error))
        finally:
            connection.close()


@pytest.mark.slow  # the two tests before have requests in progress and connections that wait
@STOPS
def test_clients_under_load_see_no_error(
    environment: dict[str, str], tmp_path: Path, stop: Callable[[Service], None]
) -> None:
    with served(environment, tmp_path / "output") as service:
        wait_for(lambda: len(workers(service)) == 2)
        processes = workers(service)
        clients = KeepAliveClients(service.port)
        with clients.working():
            stop(service)
            wait_for(lambda: ended(processes))
            gone = time.monotonic()
        assert clients.errors == []
        assert gone - max(clients.responses) < 5
        assert "Traceback" not in service.log
