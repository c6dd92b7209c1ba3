"""The query parameters of the filters, from their declarations."""

from dataclasses import replace
from datetime import date, datetime
from enum import Enum
from typing import Any

from marshmallow import ValidationError, fields

from ..database.models import TAG_MAX
from ..github.names import RepositoryReference
from ..tasks.filters import FILTERS, Filter, Kind
from .fields import (
    FullMatch,
    IsoDate,
    QueryBoolean,
    Repeated,
    RepositoryName,
    Text,
    Time,
    doc,
    one_of,
)
from .parsing import QuerySchema

SEARCH_MAX = 200  # characters
FORMS = {
    Kind.OWNER: "Must be 1 to 39 letters, digits, - or _.",
    Kind.TOPIC: "Must be 1 to 50 letters, digits or -.",
    Kind.LANGUAGE: "Must be 1 to 40 ASCII characters.",
    Kind.LICENSE: "Must be 1 to 40 letters, digits, ., + or -.",
}
FIELDS: dict[type, type[fields.Field[Any]]] = {
    bool: QueryBoolean,
    date: IsoDate,
    datetime: Time,
    RepositoryReference: RepositoryName,
}


def filter_field(declared: Filter) -> fields.Field[Any]:
    """Return the query parameter of a filter."""
    options = doc(declared.description)
    kind = declared.type
    element: fields.Field[Any]
    if declared.repeats:
        element = filter_field(replace(declared, repeats=0))
        element.metadata = {}
        return Repeated(element, max_items=declared.repeats, **options)
    if kind is Kind.TAG:
        return Text(max_length=TAG_MAX, trim=True, one_line=True, **options)
    if kind is Kind.SEARCH:
        return Text(max_length=SEARCH_MAX, **options)
    if isinstance(kind, Kind):
        return fields.String(validate=FullMatch(kind.value, FORMS[kind]), **options)
    if issubclass(kind, Enum):
        return fields.String(validate=one_of(kind), **options)
    return FIELDS[kind](**options)


def parse_filters(data: dict[str, Any]) -> dict[str, Any]:
    """Return the filters that are given; an empty search is none.

    Raises:
        ValidationError: a value can't be parsed.
    """
    filters = {name: data[name] for name in FILTERS if name in data and data[name] != ""}
    for name, value in filters.items():
        try:
            filters[name] = FILTERS[name].parse(value)
        except ValueError as error:
            raise ValidationError(str(error), name) from None
    return filters


FilterSchema = QuerySchema.from_dict(
    {name: filter_field(declared) for name, declared in FILTERS.items()}, name="FilterSchema"
)
