"""Roles, passwords and databases of the embedded server.

The application's role owns its database and is no superuser. The superuser sets up both, and is
used for nothing else but tests and benchmarks. Each role logs in by a random password. The
passwords are in a file in the data folder that only the server's account and root can read.
"""

import hashlib
import os
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg2
from psycopg2 import errorcodes
from psycopg2.sql import SQL, Composable, Identifier, Literal

from ..errors import EmbeddedPostgresError
from .account import Account
from .files import replace_file
from .locks import attempts

ROLE = "tracker"
DATABASE = "tracker"
SUPERUSER = "postgres"
SUPERUSER_DATABASE = "postgres"

PASSWORD_FILE = "tracker.pgpass"  # noqa: S105  a file name
HBA_FILE = "pg_hba.conf"
PASSWORD_REQUIRED = """\
# GitHub Task Tracker writes this file when it starts PostgreSQL; changes are lost.
local all all scram-sha-256
"""  # noqa: S105  the content of that file
# Until the superuser has a password, only the permissions of the socket's folder protect it.
SET_UP_ALLOWED = f"local all {SUPERUSER} trust\n{PASSWORD_REQUIRED}"

SOCKET_PATH_LIMIT = 100  # bytes; sun_path has 104 on macOS, 108 on Linux
CONNECT_TIMEOUT = 3  # seconds
RELOAD_TIMEOUT = 5  # seconds in which a running server reads its changed files

# Earlier versions created tables and functions only. The sequence of a column follows its table.
OWNER_STATEMENTS = f"""
    SELECT format('ALTER TABLE %s OWNER TO {ROLE}', oid::regclass) FROM pg_class
    WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    UNION ALL
    SELECT format('ALTER ROUTINE %s OWNER TO {ROLE}', oid::regprocedure) FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace
"""  # noqa: S608  the role is a constant

Execute = Callable[[str | Composable], list[tuple[Any, ...]]]


def connection_parameters(folder: Path) -> dict[str, Any]:
    """Return libpq's parameters for the application's role. No I/O; the server need not run."""
    return {
        "host": str(socket_folder(folder)),
        "port": 5432,
        "user": ROLE,
        "dbname": DATABASE,
        "passfile": str(folder / PASSWORD_FILE),
        "password": "",  # otherwise PGPASSWORD takes precedence over the file
    }


def superuser_parameters(folder: Path) -> dict[str, Any]:
    """Return libpq's parameters for the superuser, for tests and benchmarks. No I/O."""
    return {
        **connection_parameters(folder),
        "user": SUPERUSER,
        "dbname": SUPERUSER_DATABASE,
    }


def socket_folder(folder: Path) -> Path:
    """Return the folder of the server's socket: the data folder, or one in /tmp for long paths."""
    fits = len(os.fsencode(folder / ".s.PGSQL.5432")) <= SOCKET_PATH_LIMIT
    if fits and "," not in str(folder):  # libpq separates hosts by commas
        return folder
    return Path("/tmp") / f"tracker-{hashlib.sha256(os.fsencode(folder)).hexdigest()[:16]}"


def is_set_up(folder: Path) -> bool:
    """Check whether each login to the server of this data folder needs a password that we have."""
    try:
        required = (folder / HBA_FILE).read_bytes() == PASSWORD_REQUIRED.encode()
    except FileNotFoundError:
        return False
    return required and (folder / PASSWORD_FILE).exists()


def allow_set_up(folder: Path, account: Account | None) -> None:
    """Allow the superuser to log in without a password, from the next start or reload on."""
    replace_file(folder, HBA_FILE, SET_UP_ALLOWED, account)


def set_up(folder: Path, account: Account | None) -> None:
    """Create the roles and the database on the running server, then require passwords.

    After an interruption it can run again. Earlier versions stored the application's tables in
    the superuser's database: that one is renamed, with all its data.

    Raises:
        EmbeddedPostgresError: PostgreSQL refuses, or another process uses that database.
    """
    passwords = {role: secrets.token_urlsafe(32) for role in (SUPERUSER, ROLE)}
    lines = [f"*:*:*:{role}:{password}\n" for role, password in passwords.items()]
    replace_file(folder, PASSWORD_FILE, "".join(lines), account)
    try:
        with _session(folder, "template1") as execute:
            _set_passwords(execute, passwords)
            _create_databases(folder, execute)
            replace_file(folder, HBA_FILE, PASSWORD_REQUIRED, account)
            execute("SELECT pg_reload_conf()")
    except psycopg2.Error as error:
        if error.pgcode == errorcodes.OBJECT_IN_USE:
            raise EmbeddedPostgresError(
                f"an earlier version of the tracker still uses {folder}; stop that tracker"
            ) from error
        reason = " ".join(str(error).split())
        raise EmbeddedPostgresError(f"can't set up PostgreSQL in {folder}: {reason}") from error


def _set_passwords(execute: Execute, passwords: dict[str, str]) -> None:
    existing = {name for (name,) in execute("SELECT rolname FROM pg_roles")}
    for role, password in passwords.items():
        if role not in existing:
            execute(SQL("CREATE ROLE {} LOGIN").format(Identifier(role)))
        execute(SQL("ALTER ROLE {} PASSWORD {}").format(Identifier(role), Literal(password)))


def _create_databases(folder: Path, execute: Execute) -> None:
    existing = {name for (name,) in execute("SELECT datname FROM pg_database")}
    if DATABASE not in existing:
        if SUPERUSER_DATABASE in existing and _change_owner_of_tables(folder):
            execute(f"ALTER DATABASE {SUPERUSER_DATABASE} OWNER TO {ROLE}")
            execute(f"ALTER DATABASE {SUPERUSER_DATABASE} RENAME TO {DATABASE}")
            existing.remove(SUPERUSER_DATABASE)
        else:
            execute(f"CREATE DATABASE {DATABASE} OWNER {ROLE}")
    if SUPERUSER_DATABASE not in existing:
        execute(f"CREATE DATABASE {SUPERUSER_DATABASE}")


def _change_owner_of_tables(folder: Path) -> bool:
    """Change the owner of all in the superuser's database; return False if it is empty."""
    with _session(folder, SUPERUSER_DATABASE) as execute:
        statements = execute(OWNER_STATEMENTS)
        for (statement,) in statements:
            execute(statement)
    return bool(statements)


@contextmanager
def _session(folder: Path, database: str) -> Iterator[Execute]:
    connection = _connect({**superuser_parameters(folder), "dbname": database})
    try:
        connection.autocommit = True
        cursor = connection.cursor()

        def execute(statement: str | Composable) -> list[tuple[Any, ...]]:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

        yield execute
    finally:
        connection.close()


def _connect(parameters: dict[str, Any]) -> Any:
    failure: Exception | None = None
    for _ in attempts(RELOAD_TIMEOUT):
        try:
            return psycopg2.connect(**parameters, connect_timeout=CONNECT_TIMEOUT)
        except psycopg2.OperationalError as error:
            failure = error
    assert failure
    raise failure
