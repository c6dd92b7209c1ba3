"""Statements that are compiled once, and planned once for each connection."""

import pytest
from flask import Flask
from peewee import SQL, Select

from tracker.database.connection import borrowed, database
from tracker.database.queries import PREPARED_MAX, Statement, bind


def _planned() -> list[str]:
    cursor = database.execute_sql("SELECT name FROM pg_prepared_statements ORDER BY prepare_time")
    return [name for (name,) in cursor.fetchall()]


def test_a_prepared_statement_is_planned_once_for_a_connection(app: Flask) -> None:
    statement = Statement(Select(columns=[bind("word").cast("text")]), prepared=True)
    with borrowed():
        planned = _planned()
        assert statement.run(word="a").fetchone() == ("a",)
        assert statement.run(word="%s").fetchone() == ("%s",)
        assert len(_planned()) == len(planned) + 1
        cursor = database.execute_sql("SELECT sum(custom_plans) FROM pg_prepared_statements")
        assert cursor.fetchone() == (0,)  # those that were made for a value


def test_a_statement_without_values_can_be_prepared(app: Flask) -> None:
    statement = Statement(Select(columns=[SQL("1")]), prepared=True)
    with borrowed():
        assert statement.run().fetchone() == statement.run().fetchone() == (1,)
        assert len(_planned()) == 1


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_connection_keeps_a_bounded_number_of_plans(app: Flask, beyond: int) -> None:
    made = [
        Statement(Select(columns=[SQL(str(number))]), prepared=True)
        for number in range(PREPARED_MAX + beyond)
    ]
    with borrowed():
        for number, statement in enumerate(made):
            assert statement.run().fetchone() == (number,)
        assert len(_planned()) == (1 if beyond else PREPARED_MAX)
        assert made[0].run().fetchone() == (0,)
