"""Queries that are compiled once, and prepared once for each connection."""

import pytest
from flask import Flask
from peewee import SQL, Select

from tracker.database.compiled import PREPARED_MAX, CompiledQuery, parameter
from tracker.database.connection import connection, database


def _prepared_names() -> list[str]:
    cursor = database.execute_sql("SELECT name FROM pg_prepared_statements ORDER BY prepare_time")
    return [name for (name,) in cursor.fetchall()]


def test_a_query_is_prepared_once_for_a_connection(app: Flask) -> None:
    query = CompiledQuery(Select(columns=[parameter("word").cast("text")]), prepare=True)
    with connection():
        before = _prepared_names()
        assert query.execute(word="a").fetchone() == ("a",)
        assert query.execute(word="%s").fetchone() == ("%s",)
        assert len(_prepared_names()) == len(before) + 1


def test_two_queries_with_one_text_share_a_name(app: Flask) -> None:
    selects = [Select(columns=[parameter("word").cast(kind)]) for kind in ("text", "text", "int")]
    queries = [CompiledQuery(select, prepare=True) for select in selects]
    with connection():
        before = len(_prepared_names())
        assert [query.execute(word="1").fetchone() for query in queries] == [("1",), ("1",), (1,)]
        assert len(_prepared_names()) == before + 2


def test_a_query_that_is_not_prepared_takes_values_too(app: Flask) -> None:
    query = CompiledQuery(Select(columns=[parameter("word").cast("text"), SQL("%s", ("b",))]))
    with connection():
        assert query.execute(word="a").fetchone() == ("a", "b")
        assert _prepared_names() == []


def test_a_query_without_values_can_be_prepared(app: Flask) -> None:
    query = CompiledQuery(Select(columns=[SQL("1")]), prepare=True)
    with connection():
        assert query.execute().fetchone() == query.execute().fetchone() == (1,)
        assert len(_prepared_names()) == 1


@pytest.mark.parametrize("beyond", [0, 1])
def test_a_connection_keeps_a_bounded_number_of_statements(app: Flask, beyond: int) -> None:
    queries = [
        CompiledQuery(Select(columns=[SQL(str(number))]), prepare=True)
        for number in range(PREPARED_MAX + beyond)
    ]
    with connection():
        for number, query in enumerate(queries):
            assert query.execute().fetchone() == (number,)
        assert len(_prepared_names()) == (1 if beyond else PREPARED_MAX)
        assert queries[0].execute().fetchone() == (0,)
