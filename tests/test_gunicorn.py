"""The service as gunicorn runs it: real workers, signals, settings, and what is logged."""

import json
import math
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psycopg2.extensions
import pytest
import requests

from load import workers
from service import (
    GUNICORN,
    PATIENCE,
    ROOT,
    UNSET,
    Service,
    copy_project,
    free_port,
    members,
    nothing_left,
    served,
    started,
    wait_for,
)
from tracker.config import Settings
from tracker.database import migrations
from tracker.demo.github import Fault, GitHub
from tracker.postgres import server as embedded


@pytest.fixture
def output(tmp_path: Path) -> Path:
    """Where a process writes; its folder is the test's own, and no other process names it."""
    return tmp_path / "output"


@pytest.fixture
def embedded_environment(environment: dict[str, str], tmp_path: Path) -> dict[str, str]:
    """An environment with an embedded database, not made yet."""
    return {**environment, "DATABASE_URL": f"embedded:{tmp_path / 'postgres'}"}


def entries(service: Service, request_id: str) -> list[dict[str, Any]]:
    """Read what a JSON log tells of a request."""
    read = [json.loads(line) for line in service.log.splitlines()]
    return [entry for entry in read if entry.get("request_id") == request_id]


def test_a_request_is_one_line_of_text_and_a_failure_another(
    environment: dict[str, str], output: Path
) -> None:
    home = output.parent / "home"
    home.mkdir()
    with served({**environment, "HOME": str(home)}, output) as service:
        path = "/health/live?a=%0Ab"
        answer = service.call("GET", path, headers={"X-Request-ID": "my-id"})
        assert answer.headers["X-Request-ID"] == "my-id"
        wait_for(lambda: "my-id" in service.log)
        (line,) = [line for line in service.log.splitlines() if "my-id" in line]
        assert re.fullmatch(
            r"\S+Z INFO gunicorn\.access: 127\.0\.0\.1 \"GET /health/live\?a=%0Ab\" 200 \d+B \d+us "
            r"request_id=my-id",
            line,
        )
        assert f"http://127.0.0.1:{service.port}/docs" in service.log
        assert "WARNING" not in service.log
        answer = service.post("faults/502")
        assert answer.status_code == 502
        request_id = answer.headers["X-Request-ID"]
        assert re.search(
            rf"ERROR tracker\.errors: GitHubFailed: .* request_id={request_id}\n", service.log
        )
        assert list(home.iterdir()) == []  # gunicorn's control socket would be in it


def test_json_lines_tell_the_same(environment: dict[str, str], output: Path) -> None:
    with served({**environment, "LOG_FORMAT": "json"}, output) as service:
        answer = service.post("faults/502")
        request_id = answer.headers["X-Request-ID"]
        wait_for(lambda: len(entries(service, request_id)) == 2)
        failure, access = entries(service, request_id)
        assert (failure["level"], failure["logger"]) == ("error", "tracker.errors")
        assert (access["method"], access["uri"], access["status"]) == ("POST", "/tasks", 502)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_embedded_database_lives_as_long_as_the_service(
    embedded_environment: dict[str, str], output: Path, number: signal.Signals
) -> None:
    with served(embedded_environment, output) as service:
        assert service.answers("/health/ready")
        assert service.post("pallets/flask").status_code == 201
        assert service.end(number) == 0
        assert nothing_left(service)
        assert "Traceback" not in service.log


def test_an_embedded_database_outlives_each_worker(
    embedded_environment: dict[str, str], output: Path
) -> None:
    with served(embedded_environment, output) as service:
        (postmaster,) = members(-1, output.parent)
        first = workers(service)
        first[0].terminate()
        wait_for(lambda: first[0] not in workers(service))
        service.process.send_signal(signal.SIGHUP)
        wait_for(lambda: len(workers(service)) == 2 and not set(first) & set(workers(service)))
        assert service.answers("/health/ready")
        assert postmaster.is_running()


def test_ctrl_c_is_the_masters_to_heed_and_waits_for_no_request(
    environment: dict[str, str], output: Path
) -> None:
    with served({**environment, "GITHUB_TIMEOUT": "60"}, output) as service:
        wait_for(lambda: service.log.count("Booting worker") == 2)
        first = workers(service)
        for worker in first:
            worker.send_signal(signal.SIGINT)
        with ThreadPoolExecutor() as threads:
            waiting = threads.submit(service.post, "faults/silent")
            time.sleep(0.5)
            assert workers(service) == first
            assert service.answers()
            service.process.send_signal(signal.SIGINT)
            assert service.process.wait(3) == 0
            with pytest.raises(requests.ConnectionError):
                waiting.result()
        assert nothing_left(service)


@pytest.mark.parametrize(
    ("number", "sign"),
    [
        (signal.SIGTERM, "postgres.new"),
        (signal.SIGINT, "postgres/postmaster.pid"),
    ],
)
def test_a_start_that_is_cut_short_leaves_no_process(
    embedded_environment: dict[str, str], output: Path, number: signal.Signals, sign: str
) -> None:
    with started(GUNICORN, embedded_environment, output) as service:
        wait_for((output.parent / sign).exists)
        assert service.end(number) == 128 + number
        assert nothing_left(service)
        assert "Traceback" not in service.log


@pytest.mark.parametrize("words", [(), ("--bind", "{address}")])
def test_a_port_in_use_stops_the_start_before_anything_runs(
    embedded_environment: dict[str, str], output: Path, words: tuple[str, ...]
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        command = [*GUNICORN, *(word.format(address=f"127.0.0.1:{taken}") for word in words)]
        done = run(command, {**embedded_environment, "PORT": str(free_port() if words else taken)})
    assert done.returncode != 0
    (line,) = [line for line in done.stderr.splitlines() if "Starting gunicorn" not in line]
    assert re.search(rf"can't listen on 127\.0\.0\.1:{taken} .* PORT$", line)
    assert not list(output.parent.glob("postgres*"))


def run(command: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command to its end."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**UNSET, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )


@pytest.mark.parametrize(
    ("name", "value", "secret"),
    [
        ("DATABASE_URL", "mysql://someone:hunter2@host/database", "hunter2"),
        ("GITHUB_TOKEN", "hunter2 hunter3", "hunter2"),
        ("TRUSTED_HOSTS", "https://example.org/", None),
        ("PORT", "65536", None),
    ],
)
def test_a_wrong_setting_stops_the_start_with_one_line_that_names_it(
    environment: dict[str, str], name: str, value: str, secret: str | None
) -> None:
    done = run(GUNICORN, {**environment, "PORT": str(free_port()), name: value})
    assert done.returncode == 1
    assert re.fullmatch(rf"error: {name} takes .+\n", done.stderr)
    assert secret is None or secret not in done.stdout + done.stderr


@pytest.mark.parametrize(("token", "warns"), [("", True), ("hunter2", False)])
def test_listening_beyond_this_machine_without_a_token_warns(
    environment: dict[str, str], output: Path, token: str, warns: bool
) -> None:
    with served({**environment, "HOST": "0.0.0.0", "API_TOKEN": token}, output) as service:
        found = re.search(r"WARNING gunicorn\.error: HOST=0\.0\.0\.0 .*API_TOKEN", service.log)
        assert bool(found) is warns
        assert "hunter2" not in service.log


def test_a_database_that_comes_late_is_used_without_a_restart(
    environment: dict[str, str], output: Path
) -> None:
    folder = output.parent / "postgres"
    url = psycopg2.extensions.make_dsn(**embedded.connection_parameters(folder))
    late = {**environment, "DATABASE_URL": url}
    with served(late, output) as service:
        for answer in (service.call("GET", "/health/ready"), service.post("pallets/flask")):
            assert answer.status_code == 503
            assert int(answer.headers["Retry-After"]) > 0
        with embedded.running(folder):
            migrations.upgrade(Settings(database_url=url))
            assert service.answers("/health/ready")
            assert service.post("pallets/flask").status_code == 201


def test_the_environment_wins_over_a_dotenv_file(
    environment: dict[str, str], tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "project")
    (project / ".env").write_text("PORT=1111\nTHREADS=7\nLOG_LEVEL=debug\n")
    code = "from tracker.config import load_settings; s = load_settings()"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(s.port, s.threads, s.log_level)"],
        cwd=project,
        env={**environment, "PORT": "2222", "LOG_LEVEL": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout == "2222 7 info\n", done.stderr


def test_github_is_asked_once_for_each_repository_by_all_workers_together(
    environment: dict[str, str], output: Path, github: GitHub
) -> None:
    names = list(github.repositories)[:10]
    with served(environment, output) as service, ThreadPoolExecutor(8) as threads:
        first = [service.post(name) for name in names]
        rest = list(threads.map(service.post, names * 19))
    assert {answer.status_code for answer in first + rest} == {201}
    assert sorted(call.path for call in github.calls) == sorted(f"/repos/{name}" for name in names)


def test_concurrent_requests_for_one_repository_make_one_call_in_each_worker(
    environment: dict[str, str], output: Path, github: GitHub
) -> None:
    github.fault = Fault(delay=0.3)
    with served(environment, output) as service, ThreadPoolExecutor(20) as threads:
        wait_for(lambda: len(workers(service)) == 2)
        answers = list(threads.map(service.post, ["pallets/flask"] * 20))
    assert {answer.status_code for answer in answers} == {201}
    assert 1 <= len(github.calls) <= 2


def test_no_worker_asks_github_before_its_rate_limit_ends(
    environment: dict[str, str], output: Path, github: GitHub
) -> None:
    names = list(github.repositories)
    with served(environment, output) as service, ThreadPoolExecutor(8) as threads:
        wait_for(lambda: len(workers(service)) == 2)
        github.remaining, github.reset = 0, math.ceil(time.time()) + 1.0
        answers = [service.post(names[0]), *threads.map(service.post, names)]
        assert {answer.status_code for answer in answers} == {503}
        assert all(1 <= int(answer.headers["Retry-After"]) <= 2 for answer in answers)
        assert len(github.calls) == 1, service.log
        wait_for(lambda: service.post("pallets/flask").status_code == 201)
        assert time.time() >= github.reset
        assert len(github.calls) == 2
