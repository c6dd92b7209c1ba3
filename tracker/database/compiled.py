"""Queries that are compiled once: Peewee needs longer to compile most of them than they run."""

from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from peewee import SQL, BaseQuery

from .connection import database

PREPARED_MAX = 100  # statements that a connection keeps prepared


@dataclass(frozen=True)
class Parameter:
    """Placeholder of a value in a compiled query."""

    name: str


def parameter(name: str) -> SQL:
    """Return the expression that stands for a value in a compiled query."""
    return SQL("%s", (Parameter(name),))


class CompiledQuery:
    """A Peewee query whose values are given when it is executed.

    With `prepare`, PostgreSQL also parses it only once for each connection, and may keep its
    plan: for queries that have one good plan, whatever the values. With `explain`, it returns the
    query's plan as JSON, and the query itself is not executed.
    """

    def __init__(self, query: BaseQuery, *, prepare: bool = False, explain: bool = False) -> None:
        self._sql, self._parameters = query.sql()
        if explain:
            self._sql = f"EXPLAIN (FORMAT JSON) {self._sql}"
        self._prepare = ""
        if prepare:
            # A name stands for one statement in all processes: a pooler that gives a session of
            # one client to another can never make it execute a wrong statement.
            self._name = f"query_{sha256(self._sql.encode()).hexdigest()[:32]}"
            numbers = tuple(f"${number}" for number in range(1, len(self._parameters) + 1))
            self._prepare = f"PREPARE {self._name} AS {self._sql % numbers}"
            values = f" ({', '.join(['%s'] * len(numbers))})" if numbers else ""
            self._execute = f"EXECUTE {self._name}{values}"

    def execute(self, **values: Any) -> Any:
        """Execute it on the checked-out connection; return the cursor with its rows."""
        sql, parameters = self.bind(**values)
        if self._prepare and database.keeps_session:
            self._prepare_once()
            sql = self._execute
        return database.execute_sql(sql, parameters)

    def bind(self, **values: Any) -> tuple[str, list[Any]]:
        """Return its SQL, and the values of the placeholders in it."""
        return self._sql, [
            values[p.name] if isinstance(p, Parameter) else p for p in self._parameters
        ]

    def _prepare_once(self) -> None:
        prepared = database.connection().prepared
        if self._name in prepared:
            return
        if len(prepared) >= PREPARED_MAX:
            database.execute_sql("DEALLOCATE ALL")
            prepared.clear()
        database.execute_sql(self._prepare)
        prepared.add(self._name)
