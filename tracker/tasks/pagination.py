"""Pages of tasks, and the cursors between them."""

import base64
import json
from dataclasses import dataclass
from datetime import date
from typing import Any

from .filters import filter_key, filter_values
from .page_queries import Total, count, ranges
from .sorting import RANKS, SORT_COLUMNS, SortColumn, parse_number

NO_CURSOR = "Is not a cursor of this list and sort."
CURSOR_ERRORS = (ValueError, TypeError, RecursionError, OverflowError)


def encode_cursor(*parts: Any) -> str:
    """Return the text of a cursor."""
    values = [part.isoformat() if isinstance(part, date) else part for part in parts]
    text = json.dumps(values, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(text: str) -> Any:
    """Return the parts of a cursor, none of them checked; raise one of CURSOR_ERRORS."""
    padded = text + "=" * (-len(text) % 4)
    return json.loads(base64.b64decode(padded, "-_", validate=True))


@dataclass(frozen=True)
class Cursor:
    """The position after a row of a list: its value in the sort's column, and its id."""

    sort: str
    value: Any
    id: int

    @classmethod
    def after(
        cls, row_json: str, sort: str, columns: dict[str, SortColumn] = SORT_COLUMNS
    ) -> "Cursor":
        """Return the position after a row."""
        name, row = sort.lstrip("-"), json.loads(row_json)
        value = RANKS[row[name]] if name == "priority" else row[name]
        return cls(sort, None if value is None else columns[name].parse(value), row["id"])

    @classmethod
    def parse(cls, text: str, sort: str, columns: dict[str, SortColumn] = SORT_COLUMNS) -> "Cursor":
        """Parse a cursor for this sort.

        Raises:
            ValueError: no list returned it for this sort.
        """
        try:
            found, value, row_id = decode_cursor(text)
            column = columns[sort.lstrip("-")]
            if found != sort or (value is None and not column.nullable):
                raise ValueError
            return cls(sort, None if value is None else column.parse(value), parse_number(row_id))
        except CURSOR_ERRORS:
            raise ValueError(NO_CURSOR) from None

    def __str__(self) -> str:
        return encode_cursor(self.sort, self.value, self.id)


@dataclass(frozen=True)
class Page:
    """Rows in order, each as JSON; the cursor of the next page; the number of all rows."""

    rows: list[str]
    next: Cursor | None
    total: Total | None


def read_page(
    filters: dict[str, Any], sort: str, limit: int, cursor: Cursor | None, total: bool
) -> Page:
    """Return the page after the cursor, on the checked-out connection."""
    key, values = filter_key(filters), filter_values(filters)
    if cursor:
        values |= {"cursor_value": cursor.value, "cursor_id": cursor.id}
    tasks: list[str] = []
    # One more than the limit tells whether there is a next page.
    for part in ranges(limit + 1, sort, cursor and cursor.value is None, *key):
        if part.status is None or part.status in filters.get("status", [part.status]):
            tasks += part.read(limit + 1, values)
        if len(tasks) > limit:
            break
    return Page(
        tasks[:limit],
        Cursor.after(tasks[limit - 1], sort) if len(tasks) > limit else None,
        count(key, values) if total else None,
    )
