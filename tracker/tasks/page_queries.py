"""Statements that read a page of a list, and count it: which one is quick depends on the filters.

PostgreSQL assumes that a filter's tasks are spread evenly over a sort's index. Where they are not,
or where it takes a rare word for a common one, it would scan the whole index for a page.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

from peewee import SQL, Select, Tuple, fn

from ..database.compiled import CompiledQuery, parameter
from ..database.models import Task
from ..database.queries import json_columns
from .filters import apply_filters, filter_condition
from .sorting import SORT_COLUMNS

# Filters by text or time, for which PostgreSQL's own choice can be wrong by a factor of a thousand
SEARCHED = {"q", "tag", "topic"}
TIMES = {  # filters by time, and their columns
    "created_after": "created_at",
    "updated_since": "updated_at",
    "completed_after": "completed_at",
}
UNEVEN = SEARCHED | TIMES.keys()
DATES = {*TIMES, "due_after", "due_before"}
# The index of each of these sorts has the columns of these filters, so no task need be read
COVERING = {"created_at", "updated_at", "completed_at", "due_date", "priority"}
COVERED = {*DATES, "due", "status", "priority"}
# Tasks to look at in the order of a list, before the estimate and after it; some 2 and 20 ms
SCAN_FIRST, SCAN_MAX = 1_000, 10_000
SORT_MAX = 20_000  # tasks that are read and sorted for a page; some 40 ms
COVERED_SORT_MAX = 400_000  # the same, if the index of the filter is enough; some 60 ms
CITUS_ESTIMATE = 100_000  # Citus's estimate for every query
COUNT_MAX = 200_000  # tasks that are counted rather than estimated


@dataclass(frozen=True)
class Range:
    """Queries of the tasks that the filters select in one range of a sort's index.

    `in_order` and `sorted` read the same page, along the index or by the filters. `scans` read
    the page from the first SCAN_FIRST and SCAN_MAX tasks of the index alone. `status` is the one
    of all its tasks, if they have one. `in_order` is quick unless the filters are `uneven`, and
    `sorted` is quick where they select up to `sort_max` tasks.
    """

    filters: tuple[str, ...]
    status: str | None
    uneven: bool
    sort_max: int

    in_order: CompiledQuery
    sorted: CompiledQuery
    scans: tuple[CompiledQuery, CompiledQuery]

    def read(self, limit: int, values: dict[str, Any]) -> list[str]:
        """Return up to `limit` tasks, each as JSON."""

        def fetch(query: CompiledQuery) -> list[str]:
            return [task for (task,) in query.execute(**values).fetchall()]

        if not self.uneven:
            return fetch(self.in_order)
        found = fetch(self.scans[0])
        if len(found) >= limit:
            return found
        estimated = estimate(self.filters, values)
        if estimated <= self.sort_max and estimated != CITUS_ESTIMATE:
            return fetch(self.sorted)
        if SEARCHED.isdisjoint(self.filters):
            return fetch(self.in_order)
        found = fetch(self.scans[1])
        return found if len(found) >= limit else fetch(self.sorted)


@lru_cache(maxsize=1000)
def ranges(limit: int, sort: str, from_null: bool | None, *filters: str) -> list[Range]:
    """Return the rest of the list as one or two ranges of the sort's index.

    Nulls are last in both directions, as a range of their own: so one index serves both, and
    each range starts at the cursor, at any depth of the list. `from_null` is whether the cursor
    is among the nulls, or None without a cursor.
    """
    name, descending = sort.lstrip("-"), sort.startswith("-")
    found = []
    if not from_null:
        found.append(_range(name, descending, False, from_null is not None, limit, filters))
    if SORT_COLUMNS[name].nullable:
        found.append(_range(name, descending, True, bool(from_null), limit, filters))
    return found


def _range(
    name: str,
    descending: bool,
    nulls: bool,
    from_cursor: bool,
    limit: int,
    filters: tuple[str, ...],
) -> Range:
    """Return the queries of one range; `nulls` selects the range of the null values."""
    column = SORT_COLUMNS[name]

    def after(key: Any, position: Any) -> Any:
        return key < position if descending else key > position

    def in_range(query: Any, key: Any, task_id: Any) -> Any:
        if nulls:
            query = query.where(key.is_null())
            order, position = task_id, parameter("cursor_id")
        else:
            query = query.where(key.is_null(False)) if column.nullable else query
            order = Tuple(key, task_id)
            position = Tuple(column.to_key(parameter("cursor_value")), parameter("cursor_id"))
        return query.where(after(order, position)) if from_cursor else query

    def in_order(query: Any, *keys: Any) -> Any:
        return query.order_by(*(key.desc() if descending else key.asc() for key in keys[nulls:]))

    def compiled(query: Any, **options: Any) -> CompiledQuery:
        return CompiledQuery(query.limit(SQL(str(limit))), **options)

    json = json_columns()[2]
    tasks = in_order(in_range(Task.select(), column.key, Task.id), column.key, Task.id)
    status = None if nulls or column.status is None else column.status.value
    if not filters:
        plain = compiled(tasks.select(json), prepare=True)
        return Range(filters, status, False, 0, plain, plain, (plain, plain))
    selected = filter_condition(filters).alias("selected")

    def scan(size: int) -> CompiledQuery:
        # A subquery keeps its order.
        scanned = tasks.select(SQL("*"), selected).limit(SQL(str(size))).alias("scanned")
        return compiled(Select((scanned,), (json,)).where(SQL("selected")))

    covered = name in COVERING and COVERED.issuperset(filters) and not DATES.isdisjoint(filters)
    # A filter by the time of the sort is a range of the same index.
    others = [other for other in UNEVEN.intersection(filters) if TIMES.get(other) != name]

    def page(query: Any) -> CompiledQuery:
        if not covered:
            return compiled(query)
        # Read the ids from the index alone, then their tasks.
        page_ids = query.limit(SQL(str(limit)))
        return compiled(
            in_order(Task.select(json).where(Task.id.in_(page_ids)), column.key, Task.id)
        )

    found = Task.select(Task.id if covered else SQL("*"), column.key.alias("sort_key"))
    # With OFFSET, PostgreSQL plans this query apart from the sort and its range.
    found = apply_filters(found, filters).offset(SQL("0")).alias("found")
    keys = SQL("sort_key"), SQL("id")
    by_filters = Select((found,), (SQL("id") if covered else json,))
    return Range(
        filters,
        status,
        bool(others) and "repository" not in filters,
        COVERED_SORT_MAX if covered else SORT_MAX,
        page(apply_filters(tasks.select(Task.id if covered else json), filters)),
        page(in_order(in_range(by_filters, *keys), *keys)),
        (scan(SCAN_FIRST), scan(SCAN_MAX)),
    )


class Total(NamedTuple):
    """A number of tasks, and whether it is an estimate."""

    number: int
    estimated: bool = False


def count(filters: tuple[str, ...], values: dict[str, Any]) -> Total:
    """Return the number of tasks that the filters select; one beyond COUNT_MAX is an estimate."""
    estimated = estimate(filters, values)
    if estimated > COUNT_MAX:
        unit = 10 ** max(len(str(estimated)) - 2, 0)
        return Total(round(estimated / unit) * unit, estimated=True)
    (number,) = _count(*filters).execute(**values).fetchone()
    return Total(number)


def estimate(filters: tuple[str, ...], values: dict[str, Any]) -> int:
    """Return PostgreSQL's estimate of the number of tasks that the filters select."""
    (plan,) = _explain(*filters).execute(**values).fetchone()
    return int(plan[0]["Plan"]["Plan Rows"])


@lru_cache(maxsize=1000)
def _explain(*filters: str) -> CompiledQuery:
    return CompiledQuery(apply_filters(Task.select(Task.id), filters), explain=True)


@lru_cache(maxsize=1000)
def _count(*filters: str) -> CompiledQuery:
    return CompiledQuery(apply_filters(Task.select(fn.count(SQL("*"))), filters))
