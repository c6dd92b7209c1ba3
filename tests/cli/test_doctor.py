"""Command `doctor`: what it checks, and what it never prints."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from helpers import free_port
from tracker.config import Settings
from tracker.database import migrations
from tracker.demo.github import Fault, GitHub

Run = Callable[..., Result]


def failures(result: Result) -> list[str]:
    return [line for line in result.output.splitlines() if line.startswith("FAIL")]


def test_a_healthy_service_passes_each_check(run: Run, tmp_path: Path) -> None:
    result = run("doctor", github_cache=str(tmp_path / "new" / "cache.sqlite"))
    assert result.exit_code == 0, result.output
    names = [line.split(":")[0] for line in result.output.splitlines()]
    checks = ("settings", "database", "schema", "GitHub", "cache")
    assert names == [f"ok    {check}" for check in checks]


@pytest.mark.parametrize(
    ("name", "value", "failing"),
    [
        ("github_api_base", "http://127.0.0.1:{port}", ["GitHub"]),
        ("database_url", "postgresql://me:hunter2@127.0.0.1:{port}/none", ["database", "schema"]),
        ("database_url", "{empty}", ["schema"]),
        ("database_replica_url", "postgresql://me:hunter2@127.0.0.1:{port}/none", ["standby"]),
        ("database_url", "embedded:{file}/postgres", ["database", "schema"]),
    ],
)
def test_only_the_check_that_fails_is_named(
    run: Run, empty_database_url: str, tmp_path: Path, name: str, value: str, failing: list[str]
) -> None:
    file = tmp_path / "file"
    file.touch()
    value = value.format(port=free_port(), empty=empty_database_url, file=file)
    result = run("doctor", **{name: value})
    assert result.exit_code == 1
    assert [line.split()[1] for line in failures(result)] == [f"{check}:" for check in failing]
    assert "hunter2" not in result.output


@pytest.mark.parametrize(
    ("message", "passes"), [("Rate limiting is not enabled.", True), ("Not Found", False)]
)
def test_a_server_may_have_no_rate_limit_but_not_no_api(
    run: Run, github: GitHub, message: str, passes: bool
) -> None:
    github.fault = Fault(404, body=json.dumps({"message": message}).encode())
    result = run("doctor", github_api_base=f"{github.url}/api/v3")
    assert failures(result) == [] if passes else len(failures(result)) == 1
    assert ("without a rate limit" in result.output) is passes


@pytest.mark.parametrize(
    "fault",
    [
        Fault(200, body=b"<html>"),
        Fault(404, body=b"<html>"),
        Fault(404, body=b'{"message": "Not Found"}'),
        Fault(200, body=b"[]"),
    ],
)
def test_a_wrong_base_is_named(run: Run, github: GitHub, fault: Fault) -> None:
    github.fault = fault
    (failure,) = failures(run("doctor", github_api_base=f"{github.url}/api/v3"))
    assert failure == (
        f"FAIL  GitHub: GITHUB_API_BASE sent status {fault.status} without GitHub's JSON; "
        "check that URL, and any proxy in between."
    )


def test_an_unreachable_github_is_named_with_the_reason(run: Run) -> None:
    base = f"http://127.0.0.1:{free_port()}"
    (failure,) = failures(run("doctor", github_api_base=base))
    assert failure == (
        f"FAIL  GitHub: {base} can't be reached: Connection refused; "
        "check GITHUB_API_BASE and the network"
    )


def test_a_pending_migration_names_the_command_to_type(run: Run, empty_database_url: str) -> None:
    (failure,) = failures(run("doctor", database_url=empty_database_url))
    pending = ", ".join(sorted(path.stem for path in migrations.FOLDER.glob("[0-9]*.py")))
    assert failure == f"FAIL  schema: {pending} not applied; run: flask db init"


def test_a_server_that_is_no_standby_is_named(run: Run, settings: Settings) -> None:
    (failure,) = failures(run("doctor", database_replica_url=settings.database_url))
    assert failure == (
        "FAIL  standby: It is no standby, or lags behind the primary; the primary serves its reads"
    )
    (failure,) = failures(
        run("doctor", database_replica_url=f"postgresql://127.0.0.1:{free_port()}/none")
    )
    assert re.search("Connection refused.* in DATABASE_REPLICA_URL; the primary serves", failure)


def test_a_new_embedded_database_is_no_failure(run: Run, tmp_path: Path) -> None:
    result = run("doctor", database_url=f"embedded:{tmp_path / 'postgres'}")
    assert result.exit_code == 0, result.output
    assert "schema: the next start creates or updates it" in result.output


def test_the_settings_are_checked_without_the_rest(run: Run, github: GitHub) -> None:
    url = f"postgresql://me:hunter2@127.0.0.1:{free_port()}/none"
    result = run("doctor", "--settings", database_url=url, port=9000, github_cache="memory")
    assert result.exit_code == 0
    (line,) = result.output.splitlines()
    assert re.fullmatch("ok    settings: DATABASE_URL, .*, PORT, .* set, defaults for .*", line)
    assert github.calls == []


def test_a_redis_that_does_not_respond_is_a_failure(run: Run) -> None:
    port = free_port()
    (failure,) = failures(run("doctor", github_cache=f"redis://:hunter2@127.0.0.1:{port}/0"))
    assert failure.startswith("FAIL  cache: redis://127.0.0.1 can't be used: Error 111 ")
    assert failure.endswith("Connection refused; the service uses memory instead")
    (failure,) = failures(run("doctor", github_cache="redis://host:hunter2"))
    assert failure.startswith("FAIL  cache: GITHUB_CACHE is not a URL of Redis")
    assert "hunter2" not in failure


def test_a_cache_that_the_service_refuses_is_a_failure(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "cache.sqlite"
    path.write_bytes(b"This is no SQLite database. " * 100)
    (failure,) = failures(run("doctor", github_cache=str(path)))
    memory = "the service uses memory instead"
    assert failure == f"FAIL  cache: {path} can't be used: file is not a database; {memory}"
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    (failure,) = failures(run("doctor", github_cache=str(shared / "cache.sqlite")))
    assert f"other accounts can write to {shared}; run: chmod go-w {shared}; {memory}" in failure
    assert not list(shared.iterdir())


def test_a_rejected_token_is_named_but_not_printed(run: Run, github: GitHub) -> None:
    github.token = "another"
    result = run("doctor", github_token="hunter2")
    assert result.exit_code == 1
    (failure,) = failures(result)
    assert "GITHUB_TOKEN" in failure
    assert "hunter2" not in result.output


@pytest.mark.parametrize("url", ["redis://:hunter2@host/1", "redis://host/1?password=hunter2"])
def test_the_cache_is_shown_without_its_password(run: Run, url: str) -> None:
    result = run("doctor", github_cache=url)
    assert "cache: redis://host" in result.output
    assert "hunter2" not in result.output
