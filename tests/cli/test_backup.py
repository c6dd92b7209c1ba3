"""Commands `db dump` and `db restore`: a whole backup, or none."""

import os
import stat
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg2
import pytest
from click.testing import Result

from hurt import execute
from tracker.config import Settings
from tracker.database import migrations
from tracker.postgres import server as embedded

Run = Callable[..., Result]
TASKS = "SELECT tasks::text FROM tasks ORDER BY id"
ADD = """
    INSERT INTO tasks (title, status, priority, tags, repository, metadata_status)
    SELECT 'Task ' || n, 'open', 'low', '{"a b"}', 'pallets/flask', 'pending'
    FROM generate_series(1, 5) AS n
"""


@pytest.fixture
def url(empty_database_url: str, server: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> str:
    """A database with five tasks, and the programs of its server on PATH."""
    folder = embedded.binary("pg_dump").parent
    if not os.environ.get("DATABASE_URL"):
        monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    migrations.upgrade(Settings(database_url=empty_database_url))
    execute(empty_database_url, ADD)
    return empty_database_url


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "tracker.dump"


def tasks(url: str) -> list[Any]:
    return execute(url, TASKS)


def test_a_restored_dump_has_the_same_tasks(run: Run, url: str, file: Path) -> None:
    before = tasks(url)
    result = run("db", "dump", str(file), database_url=url)
    assert result.exit_code == 0, result.output
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [path.name for path in file.parent.glob("*")] == [file.name]
    execute(url, "DELETE FROM tasks")
    execute(url, "CREATE TABLE other (a int)")
    result = run("db", "restore", str(file), database_url=url)
    assert (result.exit_code, result.output) == (0, f"Restored {file}.\n")
    assert tasks(url) == before
    assert execute(url, "SELECT count(*) FROM other") == [(0,)]
    execute(url, ADD)
    assert len(tasks(url)) == 10  # the sequence goes on behind them
    assert run("db", "status", database_url=url).exit_code == 0


def test_tasks_are_replaced_on_request_only(run: Run, url: str, file: Path) -> None:
    before = tasks(url)
    assert run("db", "dump", str(file), database_url=url).exit_code == 0
    execute(url, "UPDATE tasks SET title = 'later'")
    later = tasks(url)
    refused = run("db", "restore", str(file), database_url=url)
    assert refused.exit_code == 1
    assert "use --replace" in refused.output
    assert tasks(url) == later
    assert run("db", "restore", "--replace", str(file), database_url=url).exit_code == 0
    assert tasks(url) == before


def test_a_restore_drops_our_tables_that_the_dump_lacks(run: Run, url: str, file: Path) -> None:
    execute(url, "ALTER TABLE former_names RENAME TO other")
    assert run("db", "dump", str(file), database_url=url).exit_code == 0
    execute(url, "CREATE TABLE former_names (a int)")
    result = run("db", "restore", "--replace", str(file), database_url=url)
    assert result.exit_code == 0, result.output
    assert execute(url, "SELECT to_regclass('former_names')") == [(None,)]


@pytest.mark.parametrize("kind", ["locked", "needed", "damaged", "foreign", "missing"])
def test_a_restore_that_fails_changes_nothing(
    run: Run, url: str, file: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(url, "CREATE TABLE other (a int)")
    assert run("db", "dump", str(file), database_url=url).exit_code == 0
    execute(url, "UPDATE tasks SET title = 'later'")
    later = tasks(url)
    with closing(psycopg2.connect(url)) as other:
        if kind == "locked":
            monkeypatch.setattr("tracker.cli.backup.RESTORE_LOCK_TIMEOUT", 0.2)
            other.cursor().execute("LOCK TABLE tasks IN ACCESS SHARE MODE")
        elif kind == "needed":
            execute(url, "CREATE VIEW needs AS SELECT * FROM other")
        elif kind == "damaged":
            file.write_bytes(file.read_bytes()[:-200])
        elif kind == "foreign":
            file.write_text("-- SQL\n")
        else:
            file.unlink()
        result = run("db", "restore", "--replace", str(file), database_url=url)
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert line.startswith("Error: ")
    if kind == "foreign":
        assert "take a file that `db dump` has written" in line
    assert tasks(url) == later


def test_a_dump_replaces_no_file_unless_forced(run: Run, url: str, file: Path) -> None:
    file.write_text("precious")
    file.chmod(0o644)
    refused = run("db", "dump", str(file), database_url=url)
    assert refused.exit_code == 1
    assert "use --force" in refused.output
    assert file.read_text() == "precious"
    assert run("db", "dump", "--force", str(file), database_url=url).exit_code == 0
    assert file.read_bytes().startswith(b"PGDMP")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_dump_to_a_folder_says_that_it_is_one(run: Run, url: str, tmp_path: Path) -> None:
    for force in ((), ("--force",)):
        result = run("db", "dump", *force, str(tmp_path), database_url=url)
        assert result.exit_code == 1
        assert result.output == f"Error: {tmp_path} is a folder; name a file in it\n"


def test_a_restore_looks_for_the_file_before_the_tasks(run: Run, url: str, file: Path) -> None:
    result = run("db", "restore", str(file), database_url=url)
    assert result.exit_code == 1
    assert result.output == f"Error: {file} can't be read: No such file or directory\n"


def test_a_dump_replaces_no_link_unless_forced(run: Run, url: str, file: Path) -> None:
    file.symlink_to("nothing")
    assert "use --force" in run("db", "dump", str(file), database_url=url).output
    assert file.is_symlink()


@pytest.mark.parametrize("missing", ["folder", "schema"])
def test_a_dump_that_fails_leaves_no_file(run: Run, url: str, file: Path, missing: str) -> None:
    if missing == "folder":
        file = file.parent / "none" / file.name
    else:
        execute(url, "DROP TABLE tasks")
    result = run("db", "dump", str(file), database_url=url)
    assert result.exit_code == 1
    assert len(result.output.splitlines()) == 1
    assert list(file.parent.glob("*")) == []


@pytest.mark.parametrize("version", [None, "9.6.1"])
def test_missing_and_old_programs_are_named(
    run: Run, url: str, file: Path, version: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = file.parent / "bin"
    folder.mkdir()
    if version:
        program = folder / "pg_dump"
        program.write_text(f"#!/bin/sh\necho 'pg_dump (PostgreSQL) {version}'\n")
        program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))
    result = run("db", "dump", str(file), database_url=url)
    assert result.exit_code == 1
    (line,) = result.output.splitlines()
    assert ("(PostgreSQL) 9.6.1, and the server is " if version else "pg_dump is not on") in line
    assert not file.exists()


def test_a_password_is_no_argument_of_a_program(
    run: Run, url: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = file.parent / "bin"
    folder.mkdir()
    program = folder / "pg_dump"
    arguments = file.with_name("arguments")
    program.write_text(f'#!/bin/sh\n[ "$1" = --version ] && echo 99 || echo "$@" > {arguments}\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    with_password = psycopg2.extensions.make_dsn(url, sslpassword="hunter2")
    assert run("db", "dump", str(file), database_url=with_password).exit_code == 0
    assert "--dbname=" in arguments.read_text()
    assert "hunter2" not in arguments.read_text()


def test_the_embedded_database_needs_no_other_programs(
    run: Run, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.setenv("TRACKER_CWD", str(file.parent))  # a relative path starts there
    folder = file.parent / "postgres"
    with embedded.running(folder, {"fsync": "off"}):
        url = psycopg2.extensions.make_dsn(**embedded.connection_parameters(folder))
        migrations.upgrade(Settings(database_url=url))
        execute(url, ADD)
        before = tasks(url)
        for words in (("dump",), ("restore", "--replace")):
            result = run("db", *words, file.name, database_url=f"embedded:{folder}")
            assert result.exit_code == 0, result.output
            assert str(file) in result.output
        assert tasks(url) == before
