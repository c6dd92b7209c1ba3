"""A repository as GitHub describes it, and which descriptions are usable."""

import json
import re
from dataclasses import dataclass
from datetime import datetime, timezone
from functools import lru_cache
from typing import Any
from urllib.parse import urlsplit

import requests
from marshmallow import EXCLUDE, Schema, ValidationError, fields, pre_load, validate

from .names import is_full_name
from .storage import RECEIVED_AT

BIGINT_MAX = 2**63 - 1
DESCRIPTION_MAX = 1_000
LABEL_MAX = 100  # a language, a license, a topic
TOPICS_MAX = 20
URL_MAX = 300
PAGE = re.compile(r"https?://([\w.-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?/[!-~]+\Z", re.ASCII)
UNSAFE = re.compile("[\0-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
PARSED_MAX = 100  # bodies whose parsed form is remembered


@dataclass(frozen=True)
class Repository:
    """A repository's metadata, and when GitHub sent or confirmed them."""

    id: int
    name: str  # owner/name as GitHub spells it
    url: str
    description: str | None
    stars: int
    language: str | None
    archived: bool
    pushed_at: datetime | None
    topics: tuple[str, ...] | None
    license: str | None  # SPDX identifier
    homepage: str | None
    fork: bool | None
    visibility: str | None
    fetched_at: datetime


NOT_JSON = "the body is no JSON object; check GITHUB_API_BASE, and any proxy in between"


class UnusableResponse(requests.RequestException):
    """GitHub sent status 200 with a body that describes no repository."""


def printable(text: str, max_length: int) -> str:
    """Return text that is safe to show, cut to `max_length`.

    Control characters, halves of surrogate pairs, and the marks that change the direction of
    text (https://www.unicode.org/reports/tr9/) are dropped.
    """
    return UNSAFE.sub("", text)[:max_length]


class Label(fields.String):
    """Printable text of at most `max_length` characters."""

    def __init__(self, max_length: int) -> None:
        super().__init__(load_default=None, allow_none=True)
        self._max_length = max_length

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str:
        return printable(super()._deserialize(value, *args, **kwargs), self._max_length)


class Moment(fields.AwareDateTime):
    """A time that exists in UTC; one that does not is None."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return super()._deserialize(value, *args, **kwargs).astimezone(timezone.utc)
        except OverflowError:
            return None


def check_full_name(text: str) -> None:
    """Raise ValidationError unless GitHub could have a repository of this name."""
    if not is_full_name(text):
        raise ValidationError("Not a repository's full name.")


class StrictBoolean(fields.Field[bool]):
    """A field that takes JSON's `true` and `false` alone; marshmallow's takes texts too."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Not a boolean.")
        return value


class Topics(fields.List[str]):
    """Topics, as a tuple of at most TOPICS_MAX."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        return tuple(super()._deserialize(value, *args, **kwargs)[:TOPICS_MAX])


class License(fields.Field[Any]):
    """The SPDX identifier of GitHub's license object."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> str | None:
        spdx_id = value.get("spdx_id") if isinstance(value, dict) else None
        return printable(spdx_id, LABEL_MAX) if isinstance(spdx_id, str) else None


class HomePage(fields.String):
    """An http or https URL; anything else, such as an empty text, is None."""

    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> Any:
        text = super()._deserialize(value, *args, **kwargs).strip()
        sound = re.fullmatch(rf"https?://[!-~]{{1,{URL_MAX}}}", text, re.IGNORECASE)
        return text if sound and len(text) <= URL_MAX else None


class RepositorySchema(Schema):
    """The part of GitHub's JSON that we keep.

    GitHub always sends `id`, `full_name`, `html_url` and the stars; older servers lack others.
    """

    class Meta:
        unknown = EXCLUDE

    id = fields.Integer(required=True, strict=True, validate=validate.Range(1, BIGINT_MAX))
    name = fields.String(required=True, data_key="full_name", validate=check_full_name)
    # Not fields.Url, whose pattern is compiled for 40 ms at the first request of each process.
    # A browser takes a backslash for the end of the host, and urlsplit does not.
    url = fields.String(
        required=True,
        data_key="html_url",
        validate=[validate.Length(max=URL_MAX), validate.Regexp(PAGE)],
    )
    description = Label(DESCRIPTION_MAX)
    stars = fields.Integer(
        required=True,
        strict=True,
        data_key="stargazers_count",
        validate=validate.Range(0, BIGINT_MAX),
    )
    language = Label(LABEL_MAX)
    archived = StrictBoolean(load_default=False)
    pushed_at = Moment(load_default=None, allow_none=True, format="iso")
    topics = Topics(Label(LABEL_MAX), load_default=None, allow_none=True)
    license = License(load_default=None, allow_none=True)
    homepage = HomePage(load_default=None, allow_none=True)
    fork = StrictBoolean(load_default=None, allow_none=True)
    visibility = Label(LABEL_MAX)

    @pre_load
    def use_watchers(self, data: Any, **_: Any) -> Any:
        """Read the stars from `watchers`, as older servers call them."""
        if isinstance(data, dict) and "stargazers_count" not in data and "watchers" in data:
            return {**data, "stargazers_count": data["watchers"]}
        return data


_schema = RepositorySchema()


def received_at(response: requests.Response) -> datetime:
    """Return when GitHub sent the response; for a cached one, when GitHub last confirmed it."""
    return datetime.fromisoformat(response.headers[RECEIVED_AT])


def parse_repository_response(response: requests.Response, host: str) -> Repository:
    """Return the repository that a response with status 200 describes.

    `host` is the web host on which its page has to be.

    Raises:
        UnusableResponse: the body is not what GitHub documents.
    """
    try:
        return Repository(**dict(_parse(response.content, host)), fetched_at=received_at(response))
    except ValidationError as error:
        if "_schema" in error.messages_dict:
            raise UnusableResponse(NOT_JSON) from error
        raise UnusableResponse(f"unusable fields: {', '.join(error.messages_dict)}") from error
    except (ValueError, RecursionError) as error:
        raise UnusableResponse(NOT_JSON) from error


@lru_cache(PARSED_MAX)
def _parse(body: bytes, host: str) -> tuple[tuple[str, Any], ...]:
    return tuple(load_repository(json.loads(body), host).items())


def load_repository(data: Any, host: str) -> dict[str, Any]:
    """Return the attributes of a Repository, but `fetched_at`, from GitHub's JSON.

    Raises:
        ValidationError: it describes no repository whose page is on the web host.
    """
    found: dict[str, Any] = _schema.load(data)
    try:
        page = urlsplit(found["url"])
    except ValueError as error:
        raise ValidationError({"html_url": [f"{error}."]}) from error
    if (page.hostname, page.path.lower()) != (host, f"/{found['name'].lower()}"):
        raise ValidationError({"html_url": ["Not the page of this repository."]})
    return found
