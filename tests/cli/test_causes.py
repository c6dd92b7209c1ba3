"""Why PostgreSQL can't be used: its own words for the operator, a sentence for a client."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, NamedTuple

import psycopg2.extensions
import pytest
from click.testing import Result

from helpers import free_port
from hurt import execute
from refusing import error_response, refusing
from tracker.config import Settings
from tracker.database import queries
from tracker.database.connection import configure, connection, database
from tracker.errors import DatabaseUnavailable

Run = Callable[..., Result]


class Cause(NamedTuple):
    """A way to fail: changed parts of the URL, or a server's response, or a role's attribute."""

    reason: str
    remedy: str
    message: str
    url: dict[str, Any] | None = None
    response: bytes = b""
    role: str = ""


REACH = "Database can't be reached; try again."
CAUSES = {
    "wrong password": Cause(
        "password authentication failed for user",
        "percent-encoded",
        "Database refuses the service's login",
        role="PASSWORD 'another'",
    ),
    "no such database": Cause(
        'database "nowhere" does not exist',
        "createdb",
        "Database does not exist",
        url={"dbname": "nowhere"},
    ),
    "unknown host": Cause(
        'host "host.invalid" is unknown',
        "check the host in DATABASE_URL",
        "Database host can't be found; try again.",
        url={"host": "host.invalid", "port": "5432"},
    ),
    "wrong port": Cause(
        'connection to server at "127.0.0.1", port {port} failed: Connection refused',
        "check that PostgreSQL runs",
        REACH,
        url={"host": "127.0.0.1", "port": "{port}"},
    ),
    "server without TLS": Cause(
        "server does not support SSL",
        "check sslmode",
        "disagree about TLS",
        url={"sslmode": "require"},
        response=b"N",
    ),
    "server that wants TLS": Cause(
        "no pg_hba.conf entry",
        "sslmode=require",
        "disagree about TLS",
        response=error_response(
            "28000",
            'no pg_hba.conf entry for host "127.0.0.1", user "a", database "b", no encryption',
        ),
    ),
    "server starting up": Cause(
        "the database system is starting up",
        "try again",
        "Database is starting or stopping; try again.",
        response=error_response("57P03", "the database system is starting up"),
    ),
    "server with another language": Cause(
        "Passwort-Authentifizierung für Benutzer »a« fehlgeschlagen",
        "see PostgreSQL's log",
        "Database refuses connections; try again later.",
        response=error_response(
            "28P01", "Passwort-Authentifizierung für Benutzer »a« fehlgeschlagen"
        ),
    ),
    "too many connections": Cause(
        "too many connections for role",
        "DATABASE_POOL_SIZE",
        "Database has too many connections; try again.",
        role="PASSWORD 'hunter2' CONNECTION LIMIT 0",
    ),
}


@pytest.fixture
def role(empty_database_url: str) -> Iterator[Callable[[str], dict[str, str]]]:
    """Create a role with attributes; return its part of a URL, with the password hunter2."""
    name = f"role_{uuid.uuid4().hex[:12]}"

    def create(attributes: str) -> dict[str, str]:
        execute(empty_database_url, f"CREATE ROLE {name} LOGIN {attributes}")
        return {"user": name, "password": "hunter2"}

    yield create
    execute(empty_database_url, f"DROP ROLE IF EXISTS {name}")


@pytest.fixture(params=CAUSES)
def failing(
    request: pytest.FixtureRequest, empty_database_url: str, role: Callable[[str], dict[str, str]]
) -> Iterator[tuple[Cause, str, int]]:
    """A cause, a URL that fails for it, and a port."""
    cause = CAUSES[request.param]
    parts = {"password": "hunter2", **(cause.url or {})}
    port = free_port()
    with ExitStack() as stack:
        if cause.role:
            parts |= role(cause.role)
        if cause.response:
            port = stack.enter_context(refusing(cause.response))
            parts |= {"host": "127.0.0.1", "port": "{port}", "sslmode": "disable"}
            parts |= cause.url or {}
        if request.param == "no such database":
            del parts["password"]
        parts = {name: value.format(port=port) for name, value in parts.items()}
        yield cause, psycopg2.extensions.make_dsn(empty_database_url, **parts), port


@pytest.mark.parametrize("words", ["db init", "db status", "doctor"])
def test_a_command_names_the_cause_and_a_remedy(
    run: Run, failing: tuple[Cause, str, int], words: str
) -> None:
    cause, url, port = failing
    result = run(*words.split(), database_url=url)
    assert result.exit_code == 1
    start = "FAIL  database: " if words == "doctor" else "Error: "
    line = next(line for line in result.output.splitlines() if line.startswith(start))
    assert cause.reason.format(port=port) in line
    assert cause.remedy in line.partition("; ")[2]
    assert "port" in line or "on socket" in line
    assert "hunter2" not in result.output
    if words != "doctor":
        assert result.output.count("\n") == 1


def test_a_client_gets_a_sentence_for_the_cause(failing: tuple[Cause, str, int]) -> None:
    cause, url, _ = failing
    configure(Settings(database_url=url))
    with pytest.raises(DatabaseUnavailable, match=cause.message), connection():
        pass


def test_a_missing_privilege_is_named(
    run: Run, empty_database_url: str, role: Callable[[str], dict[str, str]]
) -> None:
    url = psycopg2.extensions.make_dsn(empty_database_url, **role("PASSWORD 'hunter2'"))
    result = run("db", "init", database_url=url)
    (line,) = result.output.splitlines()
    assert "permission denied for schema public; let the role own" in line
    assert run("db", "init", database_url=empty_database_url).exit_code == 0
    configure(Settings(database_url=url))
    with pytest.raises(DatabaseUnavailable, match="role lacks a privilege"), connection():
        queries.read_tasks([1])


def test_tables_of_another_program_are_named(run: Run, empty_database_url: str) -> None:
    execute(empty_database_url, "CREATE TABLE tasks (a int)")
    result = run("db", "init", database_url=empty_database_url)
    (line,) = result.output.splitlines()
    assert 'relation "tasks" already exists; use an empty database' in line


def test_an_encoding_that_can_not_be_used_is_named(run: Run, latin1_database_url: str) -> None:
    for words in ("db init", "db status", "doctor"):
        result = run(*words.split(), database_url=latin1_database_url)
        assert result.exit_code == 1
        assert "has the encoding LATIN1, and must have UTF8; create" in result.output


def test_a_limit_of_postgresql_is_not_an_outage(app: object) -> None:
    with pytest.raises(Exception, match="too long for tsvector"), connection():
        database.execute_sql(
            "SELECT to_tsvector('simple', string_agg(md5(n::text), ' '))"
            " FROM generate_series(1, 40000) AS n"
        )
