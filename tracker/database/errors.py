"""PostgreSQL's errors: what a client is told, and what the operator can do about them."""

import re
from typing import Any, NamedTuple

from peewee import InterfaceError, OperationalError, PeeweeException

from ..errors import (
    DatabaseSchemaOutdated,
    DatabaseTimeout,
    DatabaseUnavailable,
    TransactionConflict,
)
from .driver import WrongEncoding

READ_ONLY = "25006"
SERIALIZATION_FAILURE = "40001"
DEADLOCK = "40P01"
UNDEFINED_TABLE = "42P01"
UNIQUE_VIOLATION = "23505"
QUERY_CANCELED = "57014"

NO_SCHEMA = "Database has no schema; run `flask db init`."
SCHEMA_OUTDATED = "Database schema is not up to date; run `flask db init`."
POOL_EXHAUSTED = "All database connections are in use; try again."
UNREACHABLE = "Database can't be reached; try again."
TIMED_OUT = "Database did not respond in time; try again."
CONFLICT = "Database was busy with the same tasks; try again."
LOGIN_REFUSED = "Database refuses the service's login; its operator has to correct DATABASE_URL."
POOLER = "Database pooler changes sessions; its operator has to set DATABASE_PREPARED_STATEMENTS."


class Problem(NamedTuple):
    """A message and an error for a client, and a remedy for the operator."""

    message: str
    remedy: str = ""
    kind: type[DatabaseUnavailable] = DatabaseUnavailable


# By SQLSTATE, or by its class, which are the first two characters:
# https://www.postgresql.org/docs/current/errcodes-appendix.html
PROBLEMS = {
    "08": Problem(UNREACHABLE, "check that PostgreSQL runs, and the host and port in DATABASE_URL"),
    READ_ONLY: Problem("Database is read-only now; try again later.", "use the primary server"),
    "26000": Problem(POOLER, "set DATABASE_PREPARED_STATEMENTS=off"),
    "28": Problem(
        LOGIN_REFUSED,
        "check the user and password in DATABASE_URL, where : / ? # @ % in a password must be "
        "percent-encoded",
    ),
    "3D000": Problem(
        "Database does not exist; its operator has to create it.",
        "create it with createdb, or correct its name in DATABASE_URL",
    ),
    SERIALIZATION_FAILURE: Problem(CONFLICT, kind=TransactionConflict),
    DEADLOCK: Problem(CONFLICT, kind=TransactionConflict),
    "42501": Problem(
        "Database role lacks a privilege; its operator has to grant it.",
        "let the role own the database, or GRANT USAGE, CREATE ON SCHEMA public to it",
    ),
    UNDEFINED_TABLE: Problem(SCHEMA_OUTDATED, kind=DatabaseSchemaOutdated),
    "42703": Problem(SCHEMA_OUTDATED, kind=DatabaseSchemaOutdated),
    "42P05": Problem(POOLER, "set DATABASE_PREPARED_STATEMENTS=off"),
    "42P07": Problem(
        "Database has other tables; its operator has to choose an empty one.",
        "use an empty database",
    ),
    "53": Problem("Database is short of resources; try again later.", "see PostgreSQL's log"),
    "53100": Problem("Database disk is full; try again later.", "free some space"),
    "53300": Problem(
        "Database has too many connections; try again.",
        "raise max_connections, or lower DATABASE_POOL_SIZE or WEB_CONCURRENCY",
    ),
    "55P03": Problem("Database did not get a lock in time; try again.", kind=DatabaseTimeout),
    "57": Problem(UNREACHABLE, "try again"),
    QUERY_CANCELED: Problem(TIMED_OUT, kind=DatabaseTimeout),
    "57P03": Problem("Database is starting or stopping; try again.", "try again"),
    "58": Problem("Database had a system error; try again later.", "see PostgreSQL's log"),
    "host": Problem(
        "Database host can't be found; try again.",
        "check the host in DATABASE_URL, and percent-encode : / ? # @ % in its password",
    ),
    "refusal": Problem(
        "Database refuses connections; try again later.", "see PostgreSQL's log, or the pooler's"
    ),
    "tls": Problem(
        "Database and service disagree about TLS; its operator has to correct DATABASE_URL.",
        "check sslmode and sslrootcert in DATABASE_URL, such as ?sslmode=require",
    ),
}

# psycopg2 has no SQLSTATE of a failed connect. These are messages of libpq, PostgreSQL and
# PgBouncer, in the order in which they are looked for; a server may have another language.
CONNECT_FAILURES = {
    r"could not translate host name|host .* is unknown": "host",
    r"SSL|no encryption|certificate": "tls",
    r'database "[^"]*" does not exist|no such database': "3D000",
    r"too many (clients|connections)|remaining connection slots|no more connections": "53300",
    r"database system is|not yet accepting connections": "57P03",
    r"permission denied for database": "42501",
    r"authentication|no password|no such user|pg_hba\.conf|role .* (does not exist|is not)": "28",
    r"FATAL:": "refusal",
}


def sqlstate(error: PeeweeException) -> str:
    """Return the five-character code, or "" where PostgreSQL gave none."""
    return getattr(getattr(error, "orig", None), "pgcode", None) or ""


def explain(error: Exception, parameters: dict[str, Any]) -> str:
    """Return one line for the operator: PostgreSQL's own reason, its host and port, a remedy.

    `parameters` are those of the connection. The line has no password.
    """
    cause = error.__cause__ if isinstance(error, DatabaseUnavailable) else error
    if str(error) in {NO_SCHEMA, SCHEMA_OUTDATED} or not isinstance(cause, PeeweeException):
        return str(error)
    problem = find_problem(cause)
    reason = _reason(cause)
    if "connection to server" not in reason:
        host = parameters.get("host") or parameters.get("hostaddr") or "the local socket"
        reason = f"PostgreSQL at {host}, port {parameters.get('port', 5432)}: {reason}"
    return f"{reason}; {problem.remedy}" if problem and problem.remedy else reason


def is_wrong_encoding(error: Exception) -> bool:
    """Return whether the database has another encoding than UTF8."""
    return isinstance(getattr(error.__cause__, "orig", None), WrongEncoding)


def find_problem(error: PeeweeException) -> Problem | None:
    """Return why the database is unavailable, or None where the statement is to blame."""
    code = sqlstate(error)
    if code:
        return PROBLEMS.get(code) or PROBLEMS.get(code[:2])
    if isinstance(getattr(error, "orig", None), WrongEncoding):
        remedy = "create one with `createdb --encoding=UTF8 --template=template0 NAME`"
        return Problem(f"{_reason(error)}.", remedy)
    if not isinstance(error, OperationalError | InterfaceError):
        return None
    reason = _reason(error)
    found = (key for pattern, key in CONNECT_FAILURES.items() if re.search(pattern, reason))
    return PROBLEMS[next(found, "08")]


def _reason(error: PeeweeException) -> str:
    """Return PostgreSQL's message on one line, without the statement and libpq's hints."""
    origin = getattr(error, "orig", None) or error
    primary = getattr(getattr(origin, "diag", None), "message_primary", None)
    lines = dict.fromkeys(" ".join(line.split()) for line in str(primary or origin).splitlines())
    return "; ".join(line for line in lines if line and not line.startswith("Is the server"))
