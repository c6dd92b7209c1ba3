"""The columns that a statement which stores a task returns, and their JSON.

Citus refuses to return row_to_json(), or any other function that is not immutable.
"""

import json
from collections.abc import Sequence
from datetime import date, datetime
from functools import cache
from typing import Any

from peewee import SQL
from playhouse.postgres_ext import DateTimeTZField

from .models import Task


@cache
def returned_columns() -> dict[str, Any]:
    """Return the public columns of a task by name, with its times in UTC."""
    utc = "{0} AT TIME ZONE 'UTC' AS {0}"
    return {
        field.name: SQL(utc.format(field.name)) if isinstance(field, DateTimeTZField) else field
        for field in Task.public_fields()
    }


def from_row(row: Sequence[Any]) -> tuple[int, int, str]:
    """Return the id, the version and the JSON of a task with these columns, as a read would."""
    values = dict(zip(returned_columns(), row, strict=True))
    return values["id"], values["version"], _encoder.encode(values)


def _iso(value: date) -> str:
    if isinstance(value, datetime):
        return f"{value.isoformat(timespec='microseconds')}Z"
    return value.isoformat()


_encoder = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), default=_iso)
