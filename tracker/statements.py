"""Peewee's queries as statements that are compiled once: that takes longer than to run them."""

from dataclasses import dataclass
from typing import Any

from peewee import SQL, BaseQuery

from .database import database


@dataclass(frozen=True)
class _Named:
    """The place of a value that a statement is run with."""

    name: str


def bind(name: str) -> SQL:
    """Stand in a query for the value of this name."""
    return SQL("%s", (_Named(name),))


class Statement:
    """A query whose values come each time that it is run, on the borrowed connection."""

    def __init__(self, query: BaseQuery) -> None:
        self._sql, self._parameters = query.sql()

    def run(self, **values: Any) -> Any:
        """Run it with the values that it binds, and give the cursor with its rows."""
        return database.execute_sql(
            self._sql,
            [
                values[parameter.name] if isinstance(parameter, _Named) else parameter
                for parameter in self._parameters
            ],
        )
