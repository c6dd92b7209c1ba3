"""Transactions: each begins together with its first statement, and ends with its block."""

from contextlib import suppress

import pytest
from flask import Flask
from peewee import PeeweeException
from psycopg2.extensions import TRANSACTION_STATUS_IDLE, TRANSACTION_STATUS_INTRANS

from tracker.database.connection import connection, database


def _status() -> int:
    return int(database.connection().info.transaction_status)


def test_a_transaction_begins_with_its_first_statement(app: Flask) -> None:
    query = "SELECT query FROM pg_stat_activity WHERE pid = pg_backend_pid()"
    with connection():
        with database.atomic():
            assert _status() == TRANSACTION_STATUS_IDLE
            assert database.execute_sql(query).fetchone()[0] == f"BEGIN; {query}"
            assert _status() == TRANSACTION_STATUS_INTRANS
        assert _status() == TRANSACTION_STATUS_IDLE
        assert database.execute_sql(query).fetchone()[0] == query


@pytest.mark.parametrize("statements", [(), ("SELECT 1",), ("SELECT 1 / 0",), ("SELECT 1", "x")])
def test_a_failed_transaction_leaves_none_open(app: Flask, statements: tuple[str, ...]) -> None:
    with connection():
        with pytest.raises((ZeroDivisionError, PeeweeException)), database.atomic():
            with database.atomic():  # a savepoint
                for statement in statements:
                    database.execute_sql(statement)
            raise ZeroDivisionError
        assert _status() == TRANSACTION_STATUS_IDLE
        assert database.execute_sql("SELECT 42").fetchone() == (42,)
        assert _status() == TRANSACTION_STATUS_IDLE


@pytest.mark.parametrize("error", [None, ZeroDivisionError()])
def test_a_transaction_without_a_statement_is_none(app: Flask, error: Exception | None) -> None:
    with connection():
        with suppress(ZeroDivisionError), database.atomic():
            if error:
                raise error
        database.execute_sql("SELECT 1")
        assert _status() == TRANSACTION_STATUS_IDLE


def test_a_transaction_may_have_another_isolation_level(app: Flask) -> None:
    with connection():
        with database.atomic(isolation_level="serializable"):
            found = database.execute_sql("SHOW transaction_isolation").fetchone()
        assert found == ("serializable",)
        assert database.execute_sql("SHOW transaction_isolation").fetchone() == ("read committed",)
