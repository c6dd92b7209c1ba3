"""The start under gunicorn: what is checked first, and what is warned of."""

import re
import resource
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psycopg2.extensions
import pytest

from helpers import (
    GUNICORN,
    PATIENCE,
    ROOT,
    UNSET,
    Service,
    copy_project,
    free_port,
    started,
    wait_for,
    workers,
)
from hurt import execute
from marks import slow
from tracker.config import Settings
from tracker.database import migrations


@pytest.mark.parametrize("words", [(), slow(("--bind", "{address}"))])
def test_a_port_in_use_stops_the_start_at_once(
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
    remedy = "stop the program that uses it, or set HOST or PORT"
    assert re.search(rf"can't listen on 127\.0\.0\.1:{taken} .*; {remedy}$", line)
    assert not list(output.parent.glob("postgres*"))


def test_a_host_that_is_none_is_not_a_program_that_uses_it(environment: dict[str, str]) -> None:
    done = run(GUNICORN, {**environment, "HOST": "256.1.1.1", "PORT": str(free_port())})
    assert done.returncode == 1
    assert re.search(r"can't listen on 256\.1\.1\.1:\d+ \([^)]+\); set HOST or PORT$", done.stderr)


def test_invalid_settings_stop_the_start_with_a_line_each(environment: dict[str, str]) -> None:
    wrong = {
        "DATABASE_URL": "mysql://someone:hunter2@host/database",
        "GITHUB_TOKEN": "hunter2 hunter3",
        "PORT": "65536",
        "TRUSTED_HOSTS": "https://example.org/",
    }
    done = run(GUNICORN, {**environment, **wrong})
    assert done.returncode == 1
    lines = done.stderr.splitlines()
    assert [line.split()[:3] for line in lines] == [["error:", name, "takes"] for name in wrong]
    assert "hunter2" not in done.stdout + done.stderr


@contextmanager
def open_to_all(
    environment: dict[str, str], folder: Path, token: str, mode: int
) -> Iterator[Service]:
    """Start a service for other machines, from a checkout with an .env file of this mode."""
    project = copy_project(folder / "project")
    (project / ".env").write_text("API_TOKEN=hunter2\n")
    (project / ".env").chmod(mode)
    environment = {**environment, "HOST": "0.0.0.0", "API_TOKEN": token}
    command = ("sh", "-c", f"ulimit -Sn 256; exec {shlex.join(GUNICORN)}")
    with started(command, environment, folder / "output", project) as service:
        wait_for(lambda: service.answers() and bool(workers(service)))
        yield service


@pytest.fixture(scope="module")
def careless(
    module_environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    """A service without a token, with an .env file that every account can read."""
    folder = tmp_path_factory.mktemp("careless")
    with open_to_all(module_environment, folder, token="", mode=0o644) as service:
        yield service


UNPROTECTED = re.compile(r"WARNING gunicorn\.error: 0\.0\.0\.0 accepts .*API_TOKEN")
READABLE = ".env can be read by other accounts"


def test_other_machines_without_a_token_are_warned_of(careless: Service) -> None:
    assert UNPROTECTED.search(careless.log)


def test_a_dotenv_file_that_others_can_read_is_warned_of(careless: Service) -> None:
    assert READABLE in careless.log
    assert "hunter2" not in careless.log


def test_the_limit_of_open_files_is_raised(careless: Service) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    assert workers(careless)[0].rlimit(resource.RLIMIT_NOFILE) == (hard, hard)


@pytest.mark.slow
def test_a_token_and_a_private_dotenv_file_are_not_warned_of(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with open_to_all(environment, tmp_path, token="hunter2", mode=0o600) as service:
        assert not UNPROTECTED.search(service.log)
        assert READABLE not in service.log
        assert "hunter2" not in service.log


NEWER = f"INSERT INTO {migrations.HISTORY} (name, applied) VALUES ('9999_newer', now())"


@pytest.mark.parametrize(
    ("statement", "level", "message"),
    [
        slow(None, "ERROR", "Database has no schema; run `flask db init`."),
        (f"DELETE FROM {migrations.HISTORY}", "ERROR", "schema is not up to date; run `flask db"),
        slow(NEWER, "WARNING", "Database schema is newer than this code: 9999_newer"),
    ],
    ids=["none", "old", "newer"],
)
def test_the_start_logs_a_schema_that_does_not_fit(
    environment: dict[str, str],
    empty_database_url: str,
    output: Path,
    statement: str | None,
    level: str,
    message: str,
) -> None:
    if statement:
        migrations.upgrade(Settings(database_url=empty_database_url))
        execute(empty_database_url, statement)
    environment |= {"DATABASE_URL": empty_database_url}
    with started(GUNICORN, environment, output) as service:
        wait_for(lambda: message in service.log)
        assert f"{level} gunicorn.error: " in service.log


def test_the_start_logs_a_login_that_is_wrong(
    environment: dict[str, str], empty_database_url: str, output: Path
) -> None:
    url = psycopg2.extensions.make_dsn(empty_database_url, dbname="nowhere")
    with started(GUNICORN, {**environment, "DATABASE_URL": url}, output) as service:
        wait_for(lambda: 'database "nowhere" does not exist; create it' in service.log)
        wait_for(service.answers)


def test_a_database_that_is_not_utf8_stops_the_start(
    environment: dict[str, str], latin1_database_url: str
) -> None:
    environment |= {"DATABASE_URL": latin1_database_url, "PORT": str(free_port())}
    done = run(GUNICORN, environment)
    assert done.returncode == 1
    assert "has the encoding LATIN1, and must have UTF8; create" in done.stderr


def test_tls_options_stop_the_start(environment: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "key").touch()
    done = run([*GUNICORN, "--certfile", str(tmp_path / "key")], environment)
    assert done.returncode == 1
    assert "error: gunicorn's TLS options are not supported; put a proxy" in done.stderr


def test_the_environment_overrides_a_dotenv_file(
    environment: dict[str, str], tmp_path: Path
) -> None:
    project = copy_project(tmp_path / "project")
    (project / ".env").write_text("PORT=1111\nDATABASE_POOL_SIZE=7\nLOG_LEVEL=debug\n")
    code = "from tracker.config import load_settings; s = load_settings()"
    done = subprocess.run(
        [sys.executable, "-c", f"{code}; print(s.port, s.database_pool_size, s.log_level)"],
        cwd=project,
        env={**environment, "PORT": "2222", "LOG_LEVEL": ""},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.stdout == "2222 7 info\n", done.stderr


def run(command: Sequence[str], environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a command until it exits."""
    return subprocess.run(
        command,
        cwd=ROOT,
        env={**UNSET, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
