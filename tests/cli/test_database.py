"""The command line: what its commands do, print and exit with."""

import logging
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from flask.cli import FlaskGroup

from service import PATIENCE, ROOT, UNSET, free_port, members
from tracker import create_app
from tracker.config import Settings
from tracker.database.connection import database
from tracker.demo.github import GitHub

Run = Callable[..., Result]


@pytest.fixture
def run(settings: Settings) -> Iterator[Run]:
    """Run a command here, on this test's settings with some of them changed."""

    def run(*words: str, **changes: Any) -> Result:
        app = create_app(replace(settings, **changes))
        return app.test_cli_runner().invoke(FlaskGroup(create_app=lambda: app), words)

    handlers = logging.getLogger().handlers[:]
    yield run
    logging.getLogger().handlers[:] = handlers
    database.close_all()


def failures(result: Result) -> list[str]:
    return [line for line in result.output.splitlines() if line.startswith("FAIL")]


def test_db_init_makes_the_schema_that_db_status_misses(run: Run, empty_database_url: str) -> None:
    before = run("db", "status", database_url=empty_database_url)
    assert before.exit_code == 1
    assert "0001_create_tasks  pending" in before.output
    assert "flask db init" in before.output
    first = run("db", "init", database_url=empty_database_url)
    second = run("db", "init", database_url=empty_database_url)
    assert (first.exit_code, second.exit_code) == (0, 0)
    assert "applied 0001_create_tasks" in first.output
    assert second.output == "The schema is up to date.\n"
    after = run("db", "status", database_url=empty_database_url)
    assert after.exit_code == 0
    assert "pending" not in after.output


@pytest.mark.parametrize("kind", ["server", "embedded"])
def test_two_at_once_make_the_schema_once(
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
            timeout=PATIENCE,
        )

    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(init, range(2)))
    assert [(done.returncode, done.stderr) for done in both] == [(0, "")] * 2
    assert "".join(done.stdout for done in both).count("applied 0001_create_tasks") == 1
    assert not members(-1, tmp_path)


def test_doctor_finds_nothing_wrong_with_a_healthy_service(run: Run, tmp_path: Path) -> None:
    result = run("doctor", github_cache=str(tmp_path / "new" / "cache.sqlite"))
    assert result.exit_code == 0, result.output
    names = [line.split(":")[0] for line in result.output.splitlines()]
    assert names == ["ok    database", "ok    schema", "ok    GitHub", "ok    cache"]


@pytest.mark.parametrize(
    ("name", "value", "failing"),
    [
        ("github_api_base", "http://127.0.0.1:{port}", ["GitHub"]),
        ("database_url", "postgresql://me:hunter2@127.0.0.1:{port}/none", ["database", "schema"]),
        ("database_url", "{empty}", ["schema"]),
        ("database_url", "embedded:{file}/postgres", ["database", "schema"]),
    ],
)
def test_doctor_names_what_fails(
    run: Run, empty_database_url: str, tmp_path: Path, name: str, value: str, failing: list[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    value = value.format(port=free_port(), empty=empty_database_url, file=file)
    result = run("doctor", **{name: value})
    assert result.exit_code == 1
    assert [line.split()[1] for line in failures(result)] == [f"{what}:" for what in failing]
    assert "hunter2" not in result.output


def test_doctor_takes_a_github_without_a_rate_limit(run: Run, github: GitHub) -> None:
    result = run("doctor", github_api_base=f"{github.url}/api/v3")
    assert result.exit_code == 0
    assert "answers, and has no rate limit" in result.output


def test_doctor_tells_a_rejected_token_without_showing_it(run: Run, github: GitHub) -> None:
    github.token = "another"
    result = run("doctor", github_token="hunter2")
    assert result.exit_code == 1
    (failure,) = failures(result)
    assert "GITHUB_TOKEN" in failure
    assert "hunter2" not in result.output


@pytest.mark.parametrize("place", ["redis://:hunter2@host/1", "redis://host/1?password=hunter2"])
def test_doctor_shows_no_password_of_the_cache(run: Run, place: str) -> None:
    result = run("doctor", github_cache=place)
    assert "cache: redis://host" in result.output
    assert "hunter2" not in result.output


def test_help_lists_the_commands_and_an_unknown_one_is_refused(run: Run) -> None:
    listed = run("--help")
    assert listed.exit_code == 0
    for command in ("db", "demo", "doctor"):
        assert f"\n  {command} " in listed.output
    unknown = run("doktor")
    assert unknown.exit_code == 2
    assert "No such command 'doktor'" in unknown.output


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("postgresql://me:hunter2@127.0.0.1:{port}/none", "The database can't be reached"),
        ("embedded:/dev/null/postgres", "/dev/null/postgres can't be used"),
    ],
)
def test_what_is_expected_to_fail_is_told_in_one_line(run: Run, url: str, told: str) -> None:
    result = run("db", "init", database_url=url.format(port=free_port()))
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith(f"Error: {told}")
