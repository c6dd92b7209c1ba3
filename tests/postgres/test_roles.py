"""Roles, passwords and databases of the embedded server, and data folders of earlier versions."""

import fcntl
import os
import pwd
import stat
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import psycopg2
import pytest

from data_folder import copied, execute, execute_as_superuser
from tracker.errors import EmbeddedPostgresError
from tracker.postgres import server as embedded
from tracker.postgres.account import Account
from tracker.postgres.binaries import run

ATTRIBUTES = ("rolsuper", "rolcreaterole", "rolcreatedb", "rolreplication", "rolbypassrls")
# A table, a function and a generated column, as the first migrations created them.
EARLIER_SCHEMA = """
    CREATE TABLE tasks (id BIGSERIAL PRIMARY KEY, title TEXT);
    CREATE FUNCTION task_json(id bigint, title text) RETURNS text LANGUAGE plpgsql IMMUTABLE
        AS 'BEGIN RETURN row_to_json(row(id, title))::text; END';
    ALTER TABLE tasks ADD COLUMN json TEXT GENERATED ALWAYS AS (task_json(id, title)) STORED;
    INSERT INTO tasks (title) VALUES ('kept')
"""


@pytest.fixture(scope="module")
def earlier_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of an earlier version: no passwords, and owned by `nobody` for root."""
    folder = tmp_path_factory.mktemp("earlier") / "postgres"
    folder.mkdir(mode=0o700)
    nobody = Account(pwd.getpwnam("nobody").pw_uid, 0) if os.geteuid() == 0 else None
    if nobody:
        os.chown(folder, *nobody)
    options = ("--username=postgres", "--auth=trust", "--set=fsync=off", "--no-sync")
    run(folder, "initdb", *options, account=nobody)
    with earlier_server(folder):
        execute_as_superuser(folder, EARLIER_SCHEMA)
    return folder


@pytest.fixture
def earlier_folder(new_folder: Path, earlier_template: Path) -> Path:
    """A data folder of an earlier version, with a table."""
    return copied(earlier_template, new_folder)


@contextmanager
def earlier_server(folder: Path) -> Iterator[None]:
    """Run the server of an earlier version, and hold the lock of a process that uses it."""
    arguments = f"-D '{folder}' --listen_addresses= --unix_socket_directories='{folder}'"
    run(folder, "pg_ctl", "start", "--log=server.log", f"--options={arguments}", "--wait")
    with folder.with_name("postgres.users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        try:
            yield
        finally:
            run(folder, "pg_ctl", "stop", "--mode=fast", "--wait")


def check_converted(folder: Path) -> None:
    assert execute(folder, "SELECT json FROM tasks") == '{"f1":1,"f2":"kept"}'
    owner = "SELECT proowner::regrole::text FROM pg_proc WHERE proname = 'task_json'"
    assert execute(folder, owner) == "tracker"
    execute(folder, "ALTER TABLE tasks DROP COLUMN json")
    assert execute(folder, "INSERT INTO tasks (title) VALUES ('new') RETURNING id") == 2
    with pytest.raises(psycopg2.OperationalError, match="password"):
        execute_without_password(folder, "postgres")
    assert execute_as_superuser(folder, "SELECT count(*) FROM pg_database") == 4


def execute_without_password(folder: Path, role: str) -> None:
    execute(folder, "SELECT 1", user=role, passfile=str(folder))


def test_the_applications_role_owns_its_database_only(running_folder: Path) -> None:
    query = f"SELECT ARRAY[{', '.join(ATTRIBUTES)}] FROM pg_roles WHERE rolname = current_user"
    assert execute(running_folder, query) == [False] * len(ATTRIBUTES)
    owned = "SELECT array_agg(datname::text) FROM pg_database WHERE datdba = {}::regrole"
    assert execute(running_folder, owned.format("current_user")) == ["tracker"]
    with pytest.raises(psycopg2.errors.InsufficientPrivilege):
        execute(running_folder, "COPY (SELECT 1) TO PROGRAM 'cat'")


def test_every_role_needs_its_password(running_folder: Path) -> None:
    for role in ("tracker", "postgres"):
        with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
            execute_without_password(running_folder, role)
        with pytest.raises(psycopg2.OperationalError, match="password authentication failed"):
            execute(running_folder, "SELECT 1", user=role, password="wrong")


def test_passwords_are_in_a_private_file_only(running_folder: Path) -> None:
    parameters = embedded.connection_parameters(running_folder)
    file = Path(parameters["passfile"])
    passwords = {line.rpartition(":")[2] for line in file.read_text().splitlines()}
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_uid == running_folder.stat().st_uid
    assert len(passwords) == 2
    assert all(len(password) > 40 for password in passwords)
    log = (running_folder / "server.log").read_text()
    for password in passwords:
        assert password not in repr(parameters) + log


def test_parameters_need_neither_a_server_nor_a_folder(tmp_path: Path) -> None:
    parameters = embedded.connection_parameters(tmp_path / "none" / "postgres")
    with pytest.raises(psycopg2.OperationalError):
        psycopg2.connect(**parameters)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("extension", ["unaccent", "pg_trgm"])
def test_the_role_can_create_search_extensions(running_folder: Path, extension: str) -> None:
    execute(running_folder, f"CREATE EXTENSION {extension}")
    execute(running_folder, f"DROP EXTENSION {extension}")


def test_a_lost_password_file_is_replaced(folder: Path) -> None:
    with embedded.running(folder):
        execute(folder, "CREATE TABLE kept AS SELECT 42 AS number")
    Path(embedded.connection_parameters(folder)["passfile"]).unlink()
    with embedded.running(folder):
        assert execute(folder, "SELECT number FROM kept") == 42
        with pytest.raises(psycopg2.OperationalError, match="no password supplied"):
            execute_without_password(folder, "postgres")


def test_data_of_an_earlier_version_are_kept(earlier_folder: Path) -> None:
    with embedded.running(earlier_folder):
        check_converted(earlier_folder)
    with embedded.running(earlier_folder):
        assert execute(earlier_folder, "SELECT count(*) FROM tasks") == 2


def test_a_running_server_of_an_earlier_version_is_converted(earlier_folder: Path) -> None:
    with earlier_server(earlier_folder), embedded.running(earlier_folder):
        check_converted(earlier_folder)


@pytest.mark.parametrize("steps", [1, 3, 4])
def test_an_interrupted_conversion_is_completed(earlier_folder: Path, steps: int) -> None:
    statements = (
        "CREATE ROLE tracker LOGIN PASSWORD 'lost'",
        "ALTER TABLE tasks OWNER TO tracker",
        "ALTER DATABASE postgres OWNER TO tracker",
        "ALTER DATABASE postgres RENAME TO tracker",
    )
    with earlier_server(earlier_folder):
        for statement in statements[:steps]:
            database = "template1" if "DATABASE" in statement else "postgres"
            execute(earlier_folder, statement, user="postgres", dbname=database)
    with embedded.running(earlier_folder):
        execute_as_superuser(earlier_folder, "SELECT 1")
        assert execute(earlier_folder, "SELECT title FROM tasks") == "kept"


def test_an_earlier_version_in_use_is_reported(earlier_folder: Path) -> None:
    with earlier_server(earlier_folder):
        with closing(psycopg2.connect(**embedded.superuser_parameters(earlier_folder))):
            with pytest.raises(EmbeddedPostgresError, match="earlier version .* stop that tracker"):
                with embedded.running(earlier_folder):
                    pass
        assert execute(
            earlier_folder, "SELECT title FROM tasks", user="postgres", dbname="postgres"
        )
