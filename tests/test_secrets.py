"""Tokens and the database's password appear in no log, response, cache or process list."""

import signal
import socket
import stat
import subprocess
import sys
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg2
import psycopg2.extensions
import pytest

from faults import SLOW, USABLE
from helpers import PATIENCE, ROOT, UNSET, Service, members, served, wait_for, workers
from leaks import API_TOKEN, FLASK, GITHUB_TOKEN, PASSWORD, Caller, leaks, secretive
from marks import slow
from tracker.config import Settings
from tracker.database import migrations
from tracker.demo.faults import FAULTS, RATE_LIMITS
from tracker.demo.github import Fault, GitHub

pytestmark = pytest.mark.failure


def command_lines(processes: Iterable[psutil.Process]) -> list[str]:
    return [" ".join(process.cmdline()) for process in processes]


@pytest.fixture
def role(server: dict[str, Any]) -> Iterator[str]:
    """A role of the database server that logs in with PASSWORD."""
    name = f"secretive_{uuid.uuid4().hex[:12]}"
    with closing(psycopg2.connect(**server)) as connection, connection.cursor() as cursor:
        connection.autocommit = True
        cursor.execute(f"CREATE ROLE {name} LOGIN PASSWORD %s", [PASSWORD])
        yield name
        cursor.execute(f"DROP ROLE {name}")


@pytest.mark.parametrize("log_format", ["text", slow("json")])
def test_no_failure_reveals_a_secret(
    environment: dict[str, str],
    role: str,
    empty_database_url: str,
    server: dict[str, Any],
    github: GitHub,
    tmp_path: Path,
    log_format: str,
) -> None:
    parameters = psycopg2.extensions.parse_dsn(empty_database_url)
    with closing(psycopg2.connect(empty_database_url)) as connection, connection:
        connection.cursor().execute(f"ALTER DATABASE {parameters['dbname']} OWNER TO {role}")
    url = psycopg2.extensions.make_dsn(**{**parameters, "user": role, "password": PASSWORD})
    migrations.upgrade(Settings(database_url=url))
    settings = {**secretive(environment), "DATABASE_URL": url, "LOG_FORMAT": log_format}
    settings["GITHUB_TIMEOUT"] = "4"  # a busy machine takes longer than a second for some faults
    with (
        socket.create_server(("127.0.0.1", 0)) as elsewhere,
        served(settings, tmp_path / "output") as service,
    ):
        elsewhere.setblocking(False)
        call = Caller(service)
        use(call)
        github_fails(call, github, elsewhere)
        database_fails(call, server, parameters["dbname"])
        lines = command_lines(members(service.process.pid, tmp_path))
        caches = [path for path in tmp_path.iterdir() if "cache" in path.name]
        kept = [path.read_bytes() for path in caches]
        modes = {stat.S_IMODE(path.stat().st_mode) for path in caches}
        a_worker_dies(call, service)
        lines += command_lines(members(service.process.pid, tmp_path))
        assert service.end() == 0
        assert leaks([service.log]) == []
        assert leaks(call.responses) == []
        assert leaks(lines) == []
        assert leaks(kept) == []
        assert {path.suffix for path in caches} >= {".sqlite", ".sqlite-wal", ".sqlite-shm"}
        assert any(b"pallets/flask" in content for content in kept)
        assert modes == {0o600}
        with pytest.raises(BlockingIOError):  # no one connected
            elsewhere.accept()
        # The secrets were in use.
        assert "debug" in service.log.lower()
        assert len(lines) >= 3
        assert {call.headers["Authorization"] for call in github.calls} == {
            f"Bearer {GITHUB_TOKEN}"
        }


def use(call: Caller) -> None:
    """Send valid and invalid requests, with the right token and with wrong ones."""
    assert call.create(FLASK).status_code == 201
    for path in ("/tasks", "/tasks/1", "/docs", "/docs/", "/openapi.json", "/health/ready", "/no"):
        call("GET", path)
    call("POST", "/tasks", data=b"{")
    call("POST", "/tasks", json={"title": "\0", "repository": "?"})
    for token in (None, "Bearer wrong", f"Basic {API_TOKEN}", f"Bearer {API_TOKEN} x", "Bearer"):
        assert call("GET", "/tasks", token).status_code == 401


def github_fails(call: Caller, github: GitHub, elsewhere: socket.socket) -> None:
    """Send requests during each fault of GitHub, with and without a cached response."""
    path = call.create(FLASK).headers["Location"]
    host, port = elsewhere.getsockname()
    away = {
        f"redirect {status} {scheme}": Fault(
            status, headers={"Location": f"{scheme}//{host}:{port}/repos/{FLASK}"}
        )
        for status in (301, 302, 307, 308)
        for scheme in ("http:", "https:", "")
    }
    for name, fault in {**FAULTS, **away}.items():
        if name in {*RATE_LIMITS, *SLOW, *USABLE}:
            continue
        github.fault = fault
        assert call.create("git/git").status_code in (422, 502)
    github.fault = FAULTS["401"]
    assert call("POST", f"{path}/refresh").status_code == 502
    assert call.create(FLASK, "?metadata=optional").status_code == 201
    github.fault = FAULTS["silent"]
    assert call.create("git/git").status_code == 504
    github.fault = FAULTS["429-limit"]
    assert call.create("git/git").status_code == 503
    github.fault = None


def database_fails(call: Caller, server: dict[str, Any], name: str) -> None:
    """Send requests while the database refuses connections."""
    with closing(psycopg2.connect(**server)) as connection:
        connection.autocommit = True
        cursor = connection.cursor()
        cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", [name]
        )
        for path in ("/tasks", "/health/ready"):
            assert call("GET", path).status_code == 503
        assert call.create(FLASK).status_code == 503
        cursor.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS true")
    wait_for(lambda: call("GET", "/tasks").status_code == 200)


def a_worker_dies(call: Caller, service: Service) -> None:
    """Kill a worker in two ways, and wait for its replacement."""
    for number in (signal.SIGKILL, signal.SIGABRT):
        first = workers(service)
        first[0].send_signal(number)
        wait_for(lambda: len(workers(service)) == 2 and first[0] not in workers(service))  # noqa: B023
        wait_for(service.answers)
        assert call("GET", "/tasks").status_code == 200


def test_an_unreachable_database_does_not_reveal_its_password(
    environment: dict[str, str], tmp_path: Path
) -> None:
    url = f"postgresql://someone:{quote(PASSWORD, safe='')}@127.0.0.1:1/nowhere"
    settings = {**secretive(environment), "DATABASE_URL": url}
    with served(settings, tmp_path / "output") as service:
        call = Caller(service)
        assert call("GET", "/tasks").status_code == 503
        assert call("GET", "/health/ready").status_code == 503
        assert call.create(FLASK).status_code == 503
        assert "Connection refused" in service.log
        assert leaks([service.log, *call.responses]) == []


@pytest.mark.parametrize("words", [("doctor",), slow(("db", "status")), slow(("db", "init"))])
def test_no_command_reveals_a_secret(environment: dict[str, str], words: tuple[str, ...]) -> None:
    url = f"postgresql://someone:{quote(PASSWORD, safe='')}@127.0.0.1:1/nowhere"
    done = subprocess.run(
        [sys.executable, "-m", "flask", *words],
        cwd=ROOT,
        env={**UNSET, **secretive(environment), "DATABASE_URL": url},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode != 0
    assert done.stdout + done.stderr
    assert leaks([done.stdout, done.stderr]) == []


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")
def test_the_embedded_database_gets_no_secret(environment: dict[str, str], tmp_path: Path) -> None:
    folder = tmp_path / "postgres"
    settings = {**secretive(environment), "DATABASE_URL": f"embedded:{folder}"}
    with served(settings, tmp_path / "output") as service:
        call = Caller(service)
        assert call.create(FLASK).status_code == 201
        (first,) = postmasters(tmp_path)
        check_process_secrets(first)
        first.kill()
        wait_for(lambda: postmasters(tmp_path) not in ([], [first]))
        wait_for(lambda: call("GET", "/tasks").status_code == 200)
        (second,) = postmasters(tmp_path)
        check_process_secrets(second)
        assert leaks([(folder / "server.log").read_bytes(), service.log, *call.responses]) == []


def postmasters(folder: Path) -> list[psutil.Process]:
    return [process for process in members(-1, folder) if process.name() == "postgres"]


def check_process_secrets(postmaster: psutil.Process) -> None:
    """Check the command lines and the environments of the server's processes."""
    processes = [postmaster, *postmaster.children(recursive=True)]
    assert len(processes) > 3
    assert leaks(command_lines(processes)) == []
    environments = [Path(f"/proc/{process.pid}/environ").read_bytes() for process in processes]
    assert b"PGDATA=" in environments[0]
    assert b"_TOKEN" not in b"".join(environments)
    assert leaks(environments) == []
