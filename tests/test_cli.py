"""The command line: what its commands do, print and exit with."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from service import ROOT, UNSET, free_port, members
from tracker import create_app
from tracker.config import Settings
from tracker.database import database
from tracker.demo.github import GitHub

Done = subprocess.CompletedProcess[str]


def flask(environment: dict[str, str], *words: str) -> Done:
    """Run one command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "flask", *words],
        cwd=ROOT,
        env={**UNSET, **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=20,
    )


def test_db_init_makes_the_schema_that_db_status_misses(
    environment: dict[str, str], empty_database_url: str
) -> None:
    environment = {**environment, "DATABASE_URL": empty_database_url}
    before = flask(environment, "db", "status")
    assert before.returncode == 1
    assert "0001_create_tasks  pending" in before.stdout
    assert "flask db init" in before.stderr
    first, second = flask(environment, "db", "init"), flask(environment, "db", "init")
    assert (first.returncode, second.returncode) == (0, 0)
    assert "applied 0001_create_tasks" in first.stdout
    assert second.stdout == "The schema is up to date.\n"
    after = flask(environment, "db", "status")
    assert after.returncode == 0
    assert "pending" not in after.stdout


@pytest.mark.parametrize("kind", ["server", "embedded"])
def test_two_at_once_make_the_schema_once(
    environment: dict[str, str], empty_database_url: str, tmp_path: Path, kind: str
) -> None:
    urls = {"server": empty_database_url, "embedded": f"embedded:{tmp_path / 'postgres'}"}
    environment = {**environment, "DATABASE_URL": urls[kind]}
    with ThreadPoolExecutor(2) as threads:
        both = list(threads.map(lambda _: flask(environment, "db", "init"), range(2)))
    assert [(done.returncode, done.stderr) for done in both] == [(0, "")] * 2
    assert "".join(done.stdout for done in both).count("applied 0001_create_tasks") == 1
    assert not members(-1, tmp_path)


def test_doctor_finds_nothing_wrong_with_a_healthy_service(environment: dict[str, str]) -> None:
    done = flask(environment, "doctor")
    assert done.returncode == 0, done.stdout
    names = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert names == ["ok    database", "ok    schema", "ok    GitHub", "ok    cache"]


@pytest.fixture
def doctor(settings: Settings) -> Iterator[Callable[..., Result]]:
    """Run the doctor here, on this test's settings with some of them changed."""

    def run(**changes: Any) -> Result:
        app = create_app(replace(settings, **changes))
        with app.app_context():
            return app.test_cli_runner().invoke(args=["doctor"])

    yield run
    database.close_all()


def failures(result: Result) -> list[str]:
    return [line for line in result.output.splitlines() if line.startswith("FAIL")]


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
    doctor: Callable[..., Result],
    empty_database_url: str,
    tmp_path: Path,
    name: str,
    value: str,
    failing: list[str],
) -> None:
    file = tmp_path / "file"
    file.touch()
    result = doctor(**{name: value.format(port=free_port(), empty=empty_database_url, file=file)})
    assert result.exit_code == 1
    assert [line.split()[1] for line in failures(result)] == [f"{what}:" for what in failing]
    assert "hunter2" not in result.output


def test_doctor_tells_a_rejected_token_without_showing_it(
    doctor: Callable[..., Result], github: GitHub
) -> None:
    github.token = "another"
    result = doctor(github_token="hunter2")
    assert result.exit_code == 1
    (failure,) = failures(result)
    assert "GITHUB_TOKEN" in failure
    assert "hunter2" not in result.output


@pytest.mark.parametrize("place", ["redis://:hunter2@host/1", "redis://host/1?password=hunter2"])
def test_doctor_shows_no_password_of_the_cache(doctor: Callable[..., Result], place: str) -> None:
    result = doctor(github_cache=place)
    assert "cache: redis://host" in result.output
    assert "hunter2" not in result.output


def test_help_lists_the_commands_and_an_unknown_one_is_refused(
    environment: dict[str, str],
) -> None:
    listed = flask(environment, "--help")
    assert listed.returncode == 0
    for command in ("db", "demo", "doctor"):
        assert f"\n  {command} " in listed.stdout
    unknown = flask(environment, "doktor")
    assert unknown.returncode == 2
    assert "No such command 'doktor'" in unknown.stderr


def test_what_is_expected_to_fail_is_told_in_one_line(environment: dict[str, str]) -> None:
    down = f"postgresql://me:hunter2@127.0.0.1:{free_port()}/none"
    done = flask({**environment, "DATABASE_URL": down}, "db", "init")
    assert done.returncode == 1
    assert done.stderr == "Error: The database can't be reached; try again.\n"
    wrong = flask({**environment, "PORT": "many"}, "db", "init")
    assert wrong.returncode == 1
    assert wrong.stderr.startswith("error: PORT takes ")
    assert len(wrong.stderr.splitlines()) == 1
