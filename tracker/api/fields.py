"""Fields: stricter than marshmallow's, and limited to what PostgreSQL can store."""

import itertools
import re
import unicodedata
from collections.abc import Iterable
from datetime import date, datetime, timezone
from enum import Enum
from typing import Any

import peewee
from flask import current_app
from marshmallow import ValidationError, fields, validate

from ..database.models import TAG_MAX, TAGS_MAX
from ..database.text import has_visible_character, lower_text
from ..github.names import parse_repository

COMPOSED_MAX = 4  # characters that become one in NFC, at most
TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d{1,9})?(Z|[+-]\d\d:\d\d)", re.ASCII | re.IGNORECASE
)


def one_of(choices: Iterable[Enum]) -> Any:
    """Return the validator for one of the choices."""
    return validate.OneOf([choice.value for choice in choices])


def doc(described: peewee.Field | str, **metadata: Any) -> dict[str, Any]:
    """Return the metadata of a field in the OpenAPI document: a column's description, or a text."""
    text = described if isinstance(described, str) else described.help_text
    return {"metadata": {"description": text, **metadata}}


class Text(fields.String):
    """Text that PostgreSQL can store, of at most `max_length` characters.

    `trim` removes surrounding white space and requires what remains to be non-empty.
    """

    def __init__(
        self, *, max_length: int, trim: bool = False, one_line: bool = False, **kwargs: Any
    ) -> None:
        length = validate.Length(min=1 if trim else None, max=max_length)
        super().__init__(validate=length, **kwargs)
        self._max_length = max_length
        self._trim = trim
        self._one_line = one_line

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs) or ""
        if "\0" in text:
            raise ValidationError("Must not contain a NUL character.")
        if re.search("[\ud800-\udfff]", text):
            raise ValidationError("Must not contain half of a surrogate pair.")
        if self._trim:
            text = text.strip()
        if self._one_line:
            # Sorting the marks of one letter takes the square of their number.
            if len(text) <= COMPOSED_MAX * self._max_length:
                text = unicodedata.normalize("NFC", text)
            if len(text.splitlines()) > 1:
                raise ValidationError("Must be one line.")
            if text and not has_visible_character(text):
                raise ValidationError("Must contain a visible character.")
        return text


class BoundedList(fields.List[Any]):
    """A list whose length is checked before its elements, of which there may be many."""

    def __init__(self, element: fields.Field[Any], *, max_items: int, **kwargs: Any) -> None:
        super().__init__(element, validate=validate.Length(max=max_items), **kwargs)
        self._max_items = max_items

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        if isinstance(value, list) and len(value) > self._max_items:
            raise ValidationError(f"Longer than maximum length {self._max_items}.")
        return super()._deserialize(value, *args, **kwargs)


class Repeated(BoundedList):
    """A parameter that may repeat; an error names no position, which a URL does not show."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        try:
            return super()._deserialize(value, *args, **kwargs)
        except ValidationError as error:
            if not isinstance(error.messages, dict):
                raise
            messages = itertools.chain.from_iterable(error.messages.values())
            raise ValidationError([*dict.fromkeys(messages)]) from None


class FullMatch(validate.Regexp):
    """Validator that a pattern matches the whole text: Python's `$` allows one more newline."""

    def __init__(self, pattern: str, error: str) -> None:
        super().__init__(f"^{pattern}$", error=error)
        self._pattern = re.compile(pattern)

    def __call__(self, value: str) -> str:  # type: ignore[override]
        if not self._pattern.fullmatch(value):
            raise ValidationError(self.error)
        return value


class Tags(BoundedList):
    """A list of tags in the order of their first mention.

    Tags that differ by letter case alone are one tag, spelled as first written.
    """

    def __init__(self, **kwargs: Any) -> None:
        tag = Text(max_length=TAG_MAX, trim=True, one_line=True)
        super().__init__(tag, max_items=TAGS_MAX, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        distinct: dict[str, str] = {}
        for tag in super()._deserialize(value, *args, **kwargs):
            distinct.setdefault(lower_text(tag), tag)
        return list(distinct.values())


class IsoDate(fields.Date):
    """A date as YYYY-MM-DD, and in no other form of ISO 8601."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> date:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise ValidationError("Must be a date as YYYY-MM-DD.")
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValidationError("This day does not exist.") from None


class Time(fields.DateTime):
    """A time as RFC 3339 has it, in any time zone; the value is in UTC, to the microsecond."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> datetime:
        if not isinstance(value, str) or not (found := TIME.fullmatch(value)):
            hint = ""
            if isinstance(value, str) and TIME.fullmatch(value.replace(" ", "+")):
                hint = " In a URL, write + as %2B."
            raise ValidationError(f"Must be a time such as 2030-01-31T09:30:00Z.{hint}")
        second, fraction, zone = found.groups()
        # Python 3.10 parses fractions of three or six digits only.
        text = second + (fraction or ".")[:7].ljust(7, "0") + zone.upper().replace("Z", "+00:00")
        try:
            return datetime.fromisoformat(text).astimezone(timezone.utc)
        except (ValueError, OverflowError):
            raise ValidationError("This time does not exist.") from None


class RepositoryName(fields.String):
    """A repository by any usual name; the value is a RepositoryReference."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs) or ""
        try:
            return parse_repository(text, current_app.config["GITHUB_WEB_HOST"])
        except ValueError as error:
            raise ValidationError(str(error)) from None


class QueryBoolean(fields.Boolean):
    """`true` or `false` in a URL, in any letter case."""

    default_error_messages = {"invalid": "Must be true or false."}

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(truthy={"true"}, falsy={"false"}, **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        return super()._deserialize(value.lower(), *args, **kwargs)


class QueryInteger(fields.Integer):
    """A whole number in a URL, in ASCII digits."""

    def __init__(self, low: int, high: int, **kwargs: Any) -> None:
        self._error = f"Must be a whole number from {low:,} to {high:,}."
        super().__init__(validate=validate.Range(low, high, error=self._error), **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if not re.fullmatch("[0-9]{1,18}", value):
            raise ValidationError(self._error)
        return super()._deserialize(value, *args, **kwargs)
