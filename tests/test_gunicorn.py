"""The service under gunicorn: its processes, its signals, and its log lines."""

import json
import re
import signal
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pytest
import requests

from helpers import (
    GUNICORN,
    PATIENCE,
    Service,
    members,
    nothing_left,
    served,
    started,
    wait_for,
    workers,
)
from marks import slow
from tracker.config import Settings
from tracker.database import migrations
from tracker.postgres import server as embedded


def entries(service: Service, request_id: str) -> list[dict[str, Any]]:
    """Return the JSON log entries of a request."""
    parsed = [json.loads(line) for line in service.log.splitlines()]
    return [entry for entry in parsed if entry.get("request_id") == request_id]


def test_a_request_is_one_line_and_a_failure_another(
    environment: dict[str, str], output: Path
) -> None:
    home = output.parent / "home"
    home.mkdir()
    with served({**environment, "HOME": str(home)}, output) as service:
        path = "/health/live?a=%0Ab"
        response = service.call("GET", path, headers={"X-Request-ID": "my-id"})
        assert response.headers["X-Request-ID"] == "my-id"
        wait_for(lambda: "my-id" in service.log)
        (line,) = [line for line in service.log.splitlines() if "my-id" in line]
        assert re.fullmatch(
            r"\S+Z INFO gunicorn\.access: 127\.0\.0\.1 \"GET /health/live\?a=%0Ab\" 200 \d+B \d+us "
            r"request_id=my-id",
            line,
        )
        assert f"http://127.0.0.1:{service.port}/docs" in service.log
        assert "WARNING" not in service.log
        response = service.post("faults/502")
        assert response.status_code == 502
        request_id = response.headers["X-Request-ID"]
        assert re.search(
            rf"ERROR tracker\.api\.error_handlers: GitHubFailed: .* request_id={request_id}\n",
            service.log,
        )
        assert list(home.iterdir()) == []  # gunicorn's control socket would be in it


@pytest.mark.slow  # tests/test_logs.py formats both lines
def test_json_lines_have_the_same_content(environment: dict[str, str], output: Path) -> None:
    with served({**environment, "LOG_FORMAT": "json"}, output) as service:
        response = service.post("faults/502")
        request_id = response.headers["X-Request-ID"]
        wait_for(lambda: len(entries(service, request_id)) == 2)
        failure, access = entries(service, request_id)
        assert (failure["level"], failure["logger"]) == ("error", "tracker.api.error_handlers")
        assert (access["method"], access["uri"], access["status"]) == ("POST", "/tasks", 502)


@pytest.mark.parametrize("number", [signal.SIGTERM, slow(signal.SIGINT)])
def test_an_embedded_database_outlives_the_workers_and_ends_with_the_service(
    embedded_environment: dict[str, str], output: Path, number: signal.Signals
) -> None:
    with served(embedded_environment, output) as service:
        assert service.answers("/health/ready")
        assert service.post("pallets/flask").status_code == 201
        (postmaster,) = [p for p in members(-1, output.parent) if p.name() == "postgres"]
        first = workers(service)
        first[0].terminate()
        wait_for(lambda: first[0] not in workers(service))
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(workers(service)) == 2 and not set(first) & set(workers(service)))
        wait_for(lambda: service.answers("/health/ready"))
        assert postmaster.is_running()
        assert service.end(number) == 0
        assert nothing_left(service)
        assert "Traceback" not in service.log


def test_ctrl_c_ends_the_service_without_waiting_for_requests(
    environment: dict[str, str], output: Path
) -> None:
    with served({**environment, "GITHUB_TIMEOUT": "60"}, output) as service:
        wait_for(lambda: service.log.count("Booting worker") == 2)
        first = workers(service)
        for worker in first:
            worker.send_signal(signal.SIGINT)
            worker.send_signal(signal.SIGHUP)
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(service.post, "faults/silent")
            time.sleep(1.0)
            assert workers(service) == first
            assert service.answers()
            service.process.send_signal(signal.SIGINT)
            assert service.process.wait(PATIENCE) == 0  # GITHUB_TIMEOUT is longer
            with pytest.raises(requests.ConnectionError):
                waiting.result()
        assert nothing_left(service)
        assert "Traceback" not in service.log


@pytest.mark.parametrize(
    ("number", "file"),
    [
        slow(signal.SIGTERM, "postgres.new"),
        (signal.SIGINT, "postgres/postmaster.pid"),
    ],
)
def test_an_interrupted_start_leaves_no_process(
    embedded_environment: dict[str, str], output: Path, number: signal.Signals, file: str
) -> None:
    with started(GUNICORN, embedded_environment, output) as service:
        wait_for((output.parent / file).exists)
        assert service.end(number) == 128 + number
        assert nothing_left(service)
        assert "Traceback" not in service.log


# Our configuration, with a start that stops after the embedded database runs.
CHECKING = """
from pathlib import Path
exec(Path("gunicorn.conf.py").read_text())
def check_database(server):
    import time
    print("Database runs", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGTERM, slow(signal.SIGINT), slow(signal.SIGHUP)])
def test_a_signal_sent_twice_ends_a_start_once(
    embedded_environment: dict[str, str], output: Path, number: signal.Signals
) -> None:
    (output.parent / "checking.py").write_text(CHECKING)
    command = [*GUNICORN, "--config", str(output.parent / "checking.py")]
    with started(command, embedded_environment, output) as service:
        wait_for(lambda: "Database runs" in service.log)
        service.process.send_signal(number)
        time.sleep(0.02)
        assert service.end(number) == 128 + number
        assert nothing_left(service)
        assert "Traceback" not in service.log


# The same, with a signal whose exception is lost, as psycopg2 loses one while it decodes a notice.
LOST = """
from pathlib import Path
exec(Path("gunicorn.conf.py").read_text())
def check_database(server):
    import signal
    try:
        signal.raise_signal(signal.SIGINT)
    except SystemExit:
        print("Lost", flush=True)
"""


def test_a_signal_ends_the_start_even_if_its_exception_is_lost(
    embedded_environment: dict[str, str], output: Path
) -> None:
    (output.parent / "losing.py").write_text(LOST)
    command = [*GUNICORN, "--config", str(output.parent / "losing.py")]
    with started(command, embedded_environment, output) as service:
        assert service.process.wait(PATIENCE) == 128 + signal.SIGINT
        assert nothing_left(service)
        assert "Lost" in service.log


@pytest.mark.parametrize(
    ("command", "module"),
    [
        (GUNICORN, "gevent.monkey"),
        ([sys.executable, "-m", "tracker.cli", "tracker", "list"], "click"),
    ],
)
def test_ctrl_c_during_the_imports_shows_no_traceback(
    output: Path, command: Sequence[str], module: str
) -> None:
    environment = {
        "PYTHONPROFILEIMPORTTIME": "1",
        "DATABASE_URL": f"embedded:{output.parent}/postgres",
    }
    with started(command, environment, output) as service:
        wait_for(lambda: f" {module}" in service.log)
        assert service.end(signal.SIGINT) in {-signal.SIGINT, 128 + signal.SIGINT}
        assert "Traceback" not in service.log


def test_a_database_that_starts_late_is_used_without_a_restart(
    environment: dict[str, str], output: Path
) -> None:
    folder = output.parent / "postgres"
    url = psycopg2.extensions.make_dsn(**embedded.connection_parameters(folder))
    late = {**environment, "DATABASE_URL": url}
    with served(late, output) as service:
        for response in (service.call("GET", "/health/ready"), service.post("pallets/flask")):
            assert response.status_code == 503
            assert int(response.headers["Retry-After"]) > 0
        with embedded.running(folder):
            migrations.upgrade(Settings(database_url=url))
            assert service.answers("/health/ready")
            assert service.post("pallets/flask").status_code == 201
