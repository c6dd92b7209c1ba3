"""Commands `db init` and `db status`, and what all commands share."""

import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from click.testing import Result

from helpers import PATIENCE, ROOT, UNSET, free_port, members

Run = Callable[..., Result]
FIRST = "0001_create_tables"


def test_db_init_creates_the_schema_that_db_status_misses(
    run: Run, empty_database_url: str
) -> None:
    before = run("db", "status", database_url=empty_database_url)
    assert before.exit_code == 1
    assert f"{FIRST}  pending" in before.output
    assert "flask db init" in before.output
    first = run("db", "init", database_url=empty_database_url)
    second = run("db", "init", database_url=empty_database_url)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert f"applied {FIRST}" in first.output
    assert second.output == "The schema is up to date.\n"
    after = run("db", "status", database_url=empty_database_url)
    assert after.exit_code == 0
    assert "pending" not in after.output


@pytest.mark.slow  # tests/database/test_migrations.py has concurrent upgrades in one process
@pytest.mark.parametrize("kind", ["server", "embedded"])
def test_two_concurrent_db_inits_create_the_schema_once(
    environment: dict[str, str], empty_database_url: str, tmp_path: Path, kind: str
) -> None:
    urls = {"server": empty_database_url, "embedded": f"embedded:{tmp_path / 'postgres'}"}

    def init(_: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flask", "db", "init"],
            check=False,
            cwd=ROOT,
            env={**UNSET, **environment, "DATABASE_URL": urls[kind]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=2 * PATIENCE,
        )

    with ThreadPoolExecutor(2) as pool:
        both = list(pool.map(init, range(2)))
    assert [(done.returncode, done.stderr) for done in both] == [(0, "")] * 2
    assert "".join(done.stdout for done in both).count(f"applied {FIRST}") == 1
    assert not members(-1, tmp_path)


def test_help_lists_the_commands(run: Run) -> None:
    result = run("--help")
    assert result.exit_code == 0
    for command in ("db", "demo", "doctor"):
        assert f"\n  {command} " in result.output


def test_an_unknown_command_is_a_usage_error(run: Run) -> None:
    result = run("doktor")
    assert result.exit_code == 2
    assert "No such command 'doktor'" in result.output


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql://me:hunter2@127.0.0.1:{port}/none", "connection to server at"),
        ("embedded:/dev/null/postgres", "/dev/null/postgres can't be used"),
    ],
)
def test_an_expected_failure_is_one_line(run: Run, url: str, message: str) -> None:
    result = run("db", "init", database_url=url.format(port=free_port()))
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(f"Error: {message}")
    assert "hunter2" not in line
