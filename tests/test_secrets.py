"""The tokens and the database's password stay where they belong, whatever fails."""

import base64
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterable
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import psycopg2
import psycopg2.extensions
import pytest
import requests

from load import workers
from service import PATIENCE, ROOT, UNSET, Service, members, served, wait_for
from tracker.config import Settings
from tracker.database import migrations
from tracker.demo.github import FAULTS, Fault, GitHub

pytestmark = pytest.mark.failure

FLASK = "pallets/flask"
GITHUB_TOKEN = "ghp_s3cret/of+GitHub"
API_TOKEN = "s3cret&of-the-api"
PASSWORD = "s3cret#of-postgres"
SECRETS = (GITHUB_TOKEN, API_TOKEN, PASSWORD)
LIMITS = {name for name in FAULTS if name.startswith(("403-", "429"))}
HANGING = {"silent", "drip"}


def leaks(texts: Iterable[str | bytes]) -> list[str]:
    """Find the secrets in the texts, in the forms that they have in URLs and headers too."""
    found = []
    for text in texts:
        raw = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        for secret in SECRETS:
            forms = {secret, quote(secret, safe=""), base64.b64encode(secret.encode()).decode()}
            found += [form for form in forms if form.encode() in raw]
    return found


def answer_of(response: requests.Response) -> str:
    """Give all of an answer: its status, its headers and its body."""
    return f"{response.status_code} {response.reason} {dict(response.headers)} {response.text}"


class Caller:
    """A client with the API's token, that keeps all that it is answered."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.answers: list[str] = []

    def __call__(
        self, method: str, path: str, token: str | None = f"Bearer {API_TOKEN}", **options: Any
    ) -> requests.Response:
        headers = {} if token is None else {"Authorization": token}
        response = self._service.call(method, path, headers=headers, **options)
        self.answers.append(answer_of(response))
        return response

    def create(self, repository: str, query: str = "") -> requests.Response:
        body = {"title": "t", "repository": repository}
        return self("POST", f"/tasks{query}", json=body)


def secretive(environment: dict[str, str]) -> dict[str, str]:
    return {
        **environment,
        "GITHUB_TOKEN": GITHUB_TOKEN,
        "API_TOKEN": API_TOKEN,
        "LOG_LEVEL": "debug",
        "GITHUB_TIMEOUT": "1",
        "GITHUB_CACHE_TTL": "1",
    }


def command_lines(processes: Iterable[psutil.Process]) -> list[str]:
    return [" ".join(process.cmdline()) for process in processes]


@pytest.mark.parametrize("log_format", ["text", pytest.param("json", marks=pytest.mark.slow)])
def test_no_secret_is_told_whatever_fails(
    environment: dict[str, str],
    empty_database_url: str,
    server: dict[str, Any],
    github: GitHub,
    tmp_path: Path,
    log_format: str,
) -> None:
    migrations.upgrade(Settings(database_url=empty_database_url))
    parameters = psycopg2.extensions.parse_dsn(empty_database_url)
    url = psycopg2.extensions.make_dsn(**{**parameters, "password": PASSWORD})
    settings = {**secretive(environment), "DATABASE_URL": url, "LOG_FORMAT": log_format}
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
        assert leaks(call.answers) == []
        assert leaks(lines) == []
        assert leaks(kept) == []
        assert {path.suffix for path in caches} >= {".sqlite", ".sqlite-wal", ".sqlite-shm"}
        assert any(b"pallets/flask" in content for content in kept)
        assert modes == {0o600}
        with pytest.raises(BlockingIOError):  # nobody has come
            elsewhere.accept()
        # All of it was there to be told.
        assert "debug" in service.log.lower()
        assert len(lines) >= 3
        assert {call.headers["Authorization"] for call in github.calls} == {
            f"Bearer {GITHUB_TOKEN}"
        }


def use(call: Caller) -> None:
    """Ask for all kinds of things, with the right token and with wrong ones."""
    assert call.create(FLASK).status_code == 201
    for path in ("/tasks", "/tasks/1", "/docs", "/docs/", "/openapi.json", "/health/ready", "/no"):
        call("GET", path)
    call("POST", "/tasks", data=b"{")
    call("POST", "/tasks", json={"title": "\0", "repository": "?"})
    for token in (None, "Bearer wrong", f"Basic {API_TOKEN}", f"Bearer {API_TOKEN} x", "Bearer"):
        assert call("GET", "/tasks", token).status_code == 401


def github_fails(call: Caller, github: GitHub, elsewhere: socket.socket) -> None:
    """Have GitHub answer in all of its bad ways, with a copy and without, the limits last."""
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
        if name in LIMITS or name in HANGING:
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
    """Have the database refuse the service, and take it in again."""
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
    """Have a worker end in two ways, and others take its place."""
    for number in (signal.SIGKILL, signal.SIGABRT):
        first = workers(service)
        first[0].send_signal(number)
        wait_for(lambda: len(workers(service)) == 2 and first[0] not in workers(service))  # noqa: B023
        wait_for(service.answers)
        assert call("GET", "/tasks").status_code == 200


def test_a_database_that_was_never_there_makes_nobody_tell_its_password(
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
        assert leaks([service.log, *call.answers]) == []


@pytest.mark.parametrize("words", [("doctor",), ("db", "status"), ("db", "init")])
def test_no_command_tells_a_secret(environment: dict[str, str], words: tuple[str, ...]) -> None:
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


@pytest.mark.skipif(sys.platform != "linux", reason="a process's environment is read from /proc")
def test_the_embedded_database_is_told_no_secret(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder = tmp_path / "postgres"
    settings = {**secretive(environment), "DATABASE_URL": f"embedded:{folder}"}
    with served(settings, tmp_path / "output") as service:
        call = Caller(service)
        assert call.create(FLASK).status_code == 201
        (first,) = postmasters(tmp_path)
        is_told_nothing(first)
        first.kill()
        wait_for(lambda: postmasters(tmp_path) not in ([], [first]))
        wait_for(lambda: call("GET", "/tasks").status_code == 200)
        (second,) = postmasters(tmp_path)
        is_told_nothing(second)
        assert leaks([(folder / "server.log").read_bytes(), service.log, *call.answers]) == []


def postmasters(folder: Path) -> list[psutil.Process]:
    return [process for process in members(-1, folder) if process.name() == "postgres"]


def is_told_nothing(postmaster: psutil.Process) -> None:
    """Look for secrets in what the server's processes were started with."""
    processes = [postmaster, *postmaster.children(recursive=True)]
    assert len(processes) > 3
    assert leaks(command_lines(processes)) == []
    environments = [Path(f"/proc/{process.pid}/environ").read_bytes() for process in processes]
    assert b"PGDATA=" in environments[0]
    assert b"_TOKEN" not in b"".join(environments)
    assert leaks(environments) == []
