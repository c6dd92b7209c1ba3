"""Peewee's queries as statements that are compiled once: that takes longer than to run them."""

from dataclasses import dataclass
from itertools import count
from typing import Any

from peewee import SQL, BaseQuery

from tracker.database.connection import database

PREPARED_MAX = 100  # statements that a connection has planned


@dataclass(frozen=True)
class _Named:
    """The place of a value that a statement is run with."""

    name: str


def bind(name: str) -> SQL:
    """Stand in a query for the value of this name."""
    return SQL("%s", (_Named(name),))


class Statement:
    """A query whose values come each time that it is run, on the borrowed connection.

    A `prepared` one is planned by PostgreSQL once for each connection too, until the tables'
    statistics change: that is for queries of which one plan is right, whatever the values.
    """

    _numbers = count(1)

    def __init__(self, query: BaseQuery, *, prepared: bool = False) -> None:
        self._sql, self._parameters = query.sql()
        if prepared:
            self._name = f"statement_{next(self._numbers)}"
            places = [f"${number}" for number in range(1, len(self._parameters) + 1)]
            self._preparation = f"PREPARE {self._name} AS {self._sql % tuple(places)}"
            values = f"({', '.join(['%s'] * len(places))})" if places else ""
            self._sql = f"EXECUTE {self._name} {values}"
        self._prepared = prepared

    def run(self, **values: Any) -> Any:
        """Run it with the values that it binds, and give the cursor with its rows."""
        if self._prepared:
            known = database.connection().prepared
            if self._name not in known:
                if len(known) >= PREPARED_MAX:
                    database.execute_sql("DEALLOCATE ALL")
                    known.clear()
                database.execute_sql(self._preparation)
                known.add(self._name)
        return database.execute_sql(
            self._sql,
            [
                values[parameter.name] if isinstance(parameter, _Named) else parameter
                for parameter in self._parameters
            ],
        )
