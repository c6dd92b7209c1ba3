"""A repository: how users name it, what GitHub says of it, and which answers are usable."""

import json
import re
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any

import requests
from marshmallow import EXCLUDE, Schema, ValidationError, fields, validate

from tracker.github.cache import REMEMBERED
from tracker.github.session import received_at

# https://docs.github.com/en/rest/repos/repos#get-a-repository; `_` is in names of managed users
_OWNER = r"[A-Za-z0-9](?:[A-Za-z0-9]|[-_](?=[A-Za-z0-9])){0,38}"
_NAME = r"(?!\.\.?$)[A-Za-z0-9._-]{1,100}"
_REPOSITORY = re.compile(rf"{_OWNER}/{_NAME}", re.ASCII)
_URL = re.compile(
    r"(?:(?:git\+)?(?:https?|ssh|git)://(?:[^@/\s]+@)?|[^@/:\s]+@)?(?:www\.|ssh\.)?github\.com"
    r"(?::\d+)?[/:](?P<path>[^?#\s]+)",
    re.ASCII | re.IGNORECASE,
)


def parse_repository(text: str) -> str:
    """Find `owner/name` in what a user may paste: that itself, or a GitHub URL.

    A URL may be https, ssh or scp-like, end in `.git`, or point deeper into the repository.

    Raises:
        ValueError: it is neither; the message says what is expected.
    """
    text = text.strip()
    if url := _URL.fullmatch(text.partition("#")[0].partition("?")[0]):
        text = "/".join(url["path"].strip("/").split("/")[:2])
    name = text[:-4] if text.lower().endswith(".git") else text
    if not _REPOSITORY.fullmatch(name):
        raise ValueError(
            "Must be owner/name or the URL of a GitHub repository, such as "
            "pallets/flask or https://github.com/pallets/flask."
        )
    return name


@dataclass(frozen=True)
class Repository:
    """What GitHub says of a repository, and when it last said so."""

    id: int
    name: str  # owner/name as GitHub spells it
    url: str
    description: str | None
    stars: int
    language: str | None
    archived: bool
    pushed_at: datetime | None
    fetched_at: datetime


def _storable(text: str) -> None:
    if "\0" in text or re.search("[\ud800-\udfff]", text):
        raise ValidationError("Has a character that can't be stored.")


class _Boolean(fields.Field[bool]):
    def _deserialize(self, value: Any, *args: Any, **kwargs: Any) -> bool:
        if not isinstance(value, bool):
            raise ValidationError("Not a boolean.")
        return value


class _RepositorySchema(Schema):
    """The part of GitHub's answer that we keep; a field missing or mistyped is an error."""

    class Meta:
        unknown = EXCLUDE

    id = fields.Integer(required=True, strict=True, validate=validate.Range(min=1, max=2**63 - 1))
    name = fields.String(
        required=True, data_key="full_name", validate=validate.Regexp(_REPOSITORY.pattern + r"\Z")
    )
    url = fields.Url(
        required=True,
        data_key="html_url",
        schemes={"http", "https"},
        require_tld=False,
        validate=_storable,
    )
    description = fields.String(required=True, allow_none=True, validate=_storable)
    stars = fields.Integer(
        required=True,
        strict=True,
        data_key="stargazers_count",
        validate=validate.Range(min=0, max=2**63 - 1),
    )
    language = fields.String(required=True, allow_none=True, validate=_storable)
    archived = _Boolean(required=True)
    pushed_at = fields.AwareDateTime(required=True, allow_none=True, format="iso")


_schema = _RepositorySchema()


class UnusableAnswer(requests.RequestException):
    """GitHub answered 200 with something that is no repository."""


def read_answer(response: requests.Response) -> Repository:
    """Read a repository from GitHub's answer.

    Raises:
        UnusableAnswer: the body is not what GitHub documents.
    """
    try:
        return Repository(**_read(response.content), fetched_at=received_at(response))
    except ValidationError as error:
        raise UnusableAnswer(f"unusable fields: {error.messages}") from error
    except (ValueError, RecursionError) as error:
        raise UnusableAnswer("the body is not JSON") from error


@lru_cache(REMEMBERED)
def _read(body: bytes) -> Any:
    return _schema.load(json.loads(body))
