"""Fields of our own: stricter than marshmallow's, and with what PostgreSQL can store."""

import re
from datetime import date, datetime, timezone
from typing import Any

from marshmallow import ValidationError, fields, validate

from tracker.database.models import TAG_MAX, TAGS_MAX
from tracker.github.repository import parse_repository


class Text(fields.String):
    """Text that PostgreSQL can store, without the white space around it if `trimmed`."""

    def __init__(
        self, *, longest: int, trimmed: bool = False, one_line: bool = False, **kwargs: Any
    ) -> None:
        length = validate.Length(min=1 if trimmed else None, max=longest)
        super().__init__(validate=length, **kwargs)
        self._trimmed = trimmed
        self._one_line = one_line

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs) or ""
        if "\0" in text:
            raise ValidationError("Must not contain a NUL character.")
        if re.search("[\ud800-\udfff]", text):
            raise ValidationError("Must not contain half of a surrogate pair.")
        if self._trimmed:
            text = text.strip()
        if self._one_line and len(text.splitlines()) > 1:
            raise ValidationError("Must be one line.")
        return text


class Tags(fields.List[str]):
    """A list of tags, in the order of their first mention, repeats dropped."""

    def __init__(self, **kwargs: Any) -> None:
        tag = Text(longest=TAG_MAX, trimmed=True, one_line=True)
        super().__init__(tag, validate=validate.Length(max=TAGS_MAX), **kwargs)

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> list[Any]:
        return list(dict.fromkeys(super()._deserialize(value, *args, **kwargs) or []))


class IsoDate(fields.Date):
    """A date as YYYY-MM-DD, in no other of ISO 8601's forms."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> date:
        if not isinstance(value, str) or not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value):
            raise ValidationError("Must be a date as YYYY-MM-DD.")
        try:
            return date.fromisoformat(value)
        except ValueError:
            raise ValidationError("There is no such day.") from None


class RepositoryName(fields.String):
    """A GitHub repository as `owner/name`, from that or from a URL of it."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        text = super()._deserialize(value, *args, **kwargs) or ""
        try:
            return parse_repository(text)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class Timestamp(fields.DateTime):
    """A moment as RFC 3339 in UTC, with microseconds."""

    def _serialize(self, value: datetime | None, *args: Any, **kwargs: Any) -> str | None:
        if value is None:
            return None
        moment = value.astimezone(timezone.utc).replace(tzinfo=None)
        return f"{moment.isoformat(timespec='microseconds')}Z"


class Flag(fields.Boolean):
    """`true` or `false` in a URL."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(truthy={"true"}, falsy={"false"}, **kwargs)


class Number(fields.Integer):
    """A whole number in a URL, in ASCII digits alone."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> int:
        if not re.fullmatch("[0-9]{1,18}", value):
            raise ValidationError("Not a valid integer.")
        return super()._deserialize(value, *args, **kwargs)
