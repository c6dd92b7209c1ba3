"""Command `doctor`: what it checks, and what it never prints."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from helpers import free_port
from tracker.demo.github import Fault, GitHub

Run = Callable[..., Result]


def failures(result: Result) -> list[str]:
    return [line for line in result.output.splitlines() if line.startswith("FAIL")]


def test_a_healthy_service_passes_each_check(run: Run, tmp_path: Path) -> None:
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
    assert ("reachable, without a rate limit" in result.output) is passes


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
