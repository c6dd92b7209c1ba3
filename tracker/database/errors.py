"""PostgreSQL's errors, by SQLSTATE, as messages for a client."""

from peewee import InterfaceError, OperationalError, PeeweeException

UNREACHABLE = "Database can't be reached; try again."
SCHEMA_OUTDATED = "Database schema is not up to date; run `flask db init`."
POOL_EXHAUSTED = "All database connections are in use; try again."
TIMED_OUT = "Database did not respond in time; try again."
CONFLICT = "Database was busy with the same tasks; try again."
READ_ONLY = "25006"
SERIALIZATION_FAILURE = "40001"
DEADLOCK = "40P01"
CONFLICTS = {SERIALIZATION_FAILURE, DEADLOCK}

# https://www.postgresql.org/docs/current/errcodes-appendix.html
MESSAGES = {
    READ_ONLY: "Database is read-only now; try again later.",
    "42P01": SCHEMA_OUTDATED,
    "42703": SCHEMA_OUTDATED,
    SERIALIZATION_FAILURE: CONFLICT,
    DEADLOCK: CONFLICT,
    "53100": "Database disk is full; try again later.",
    "55P03": "Database did not get a lock in time; try again.",
    "57014": TIMED_OUT,
}


def sqlstate(error: PeeweeException) -> str:
    """Return the five-character code, or "" where PostgreSQL gave none."""
    return getattr(getattr(error, "orig", None), "pgcode", None) or ""


def unavailability(error: PeeweeException) -> str | None:
    """Return why the database is unavailable, or None where the statement is to blame."""
    disconnected = isinstance(error, OperationalError | InterfaceError)
    return MESSAGES.get(sqlstate(error), UNREACHABLE if disconnected else None)
