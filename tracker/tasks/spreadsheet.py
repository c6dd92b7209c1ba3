"""Tasks as the rows of a spreadsheet: CSV as RFC 4180 has it, with every cell in quotes."""

import csv
import io
import json
import re
from collections.abc import Iterable
from typing import Any

from ..database.models import Task

COLUMNS = [field.name for field in Task.public_fields()]
# A spreadsheet runs a cell that begins with one of these characters as a formula:
# https://owasp.org/www-community/attacks/CSV_Injection
_FORMULA = r"[=+\-@\t\r]"
# Cells that begin with quotes and such a character get one more, so that no two become equal.
_NEEDS_GUARD = re.compile(f"'*{_FORMULA}")
_HAS_GUARD = re.compile(f"'+{_FORMULA}")


def write_rows(rows: Iterable[Iterable[str]]) -> str:
    """Return rows of cells as CSV."""
    text = io.StringIO(newline="")
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue()


def to_row(task_json: str) -> list[str]:
    """Return the cells of a task, in the order of COLUMNS."""
    task = json.loads(task_json)
    return [to_cell(task[name]) for name in COLUMNS]


def to_cell(value: Any) -> str:
    """Return a value of a task's JSON as a cell: null is empty, and a list has one item a line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return guard("\n".join(value) if isinstance(value, list) else str(value))


def guard(text: str) -> str:
    """Return the text with a `'` in front if a spreadsheet would run it as a formula."""
    return f"'{text}" if _NEEDS_GUARD.match(text) else text


def unguard(cell: str) -> str:
    """Return the text of a cell without the `'` that `guard` has put in front."""
    return cell[1:] if _HAS_GUARD.match(cell) else cell
