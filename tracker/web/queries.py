"""The query of the list's page: the API's own, and what the page adds to it."""

import re
from datetime import date, datetime, timedelta, timezone
from typing import Any

from flask import request
from marshmallow import fields, post_load

from ..api.parsing import StrictParser
from ..api.schemas import ListQuerySchema
from ..tasks.filters import FILTERS
from ..tasks.sorting import DEFAULT_SORT

ROWS_MAX = 100  # of a form

parser = StrictParser()


class PageQuerySchema(ListQuerySchema):
    """The API's query, and the line that is prefilled by a bookmark."""

    add = fields.String(load_default="")

    @post_load
    def to_service_query(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        """Return the query of a page; its tasks are always counted."""
        data.pop("add")
        return {**super().to_service_query(data), "total": True}


def parse_query() -> dict[str, Any]:
    """Return the query for the service; abort with 422 where the API would."""
    query: dict[str, Any] = parser.parse(PageQuerySchema(), request, location="query")
    return query


def empty_query() -> dict[str, Any]:
    """Return the query of the list without filters."""
    loaded: dict[str, Any] = PageQuerySchema().load({})
    return loaded


def filters() -> list[tuple[str, str]]:
    """Return the filters of this request's query as they were given."""
    return [pair for pair in request.args.items(multi=True) if pair[0] in FILTERS and pair[1]]


def today() -> date:
    """Return the day where the browser is; before its script has run, where the service is.

    The script keeps the offset from UTC, in minutes, in a cookie.
    """
    offset = request.cookies.get("offset", "")
    if not re.fullmatch("-?[0-9]{1,3}", offset):
        return date.today()
    return (datetime.now(timezone.utc) + timedelta(minutes=int(offset))).date()


def order() -> list[tuple[str, str]]:
    """Return the sort and the limit of this request's query, where they are not the defaults."""
    named = [("sort", DEFAULT_SORT), ("limit", "30")]
    return [
        (name, request.args[name])
        for name, default in named
        if request.args.get(name, default) not in (default, "")
    ]
