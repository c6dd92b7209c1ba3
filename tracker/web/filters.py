"""Filters of the templates: values as people read them."""

import re
from datetime import date, datetime, timezone
from typing import Any
from urllib.parse import urlsplit

from markupsafe import Markup, escape

from ..tasks import phrases
from .queries import today

OLD = 24 * 60 * 60  # seconds after which metadata are old
QUIET = 365 * 24 * 60 * 60  # seconds without a push
_LINK = re.compile(r"https?://[^\s<>\"'`]+", re.IGNORECASE)
_CLOSING = ".,;:!?)]}"


def seconds_since(text: str) -> float:
    """Return how long ago a time of a response was."""
    return (datetime.now(timezone.utc) - phrases.parse_time(text)).total_seconds()


def is_old(task: dict[str, Any]) -> bool:
    """Return whether a task's metadata were never fetched, or not for a day."""
    fetched = task["metadata_fetched_at"]
    return fetched is None or seconds_since(fetched) > OLD


def is_quiet(pushed_at: str | None) -> bool:
    """Return whether nothing was pushed for a year."""
    return pushed_at is not None and seconds_since(pushed_at) > QUIET


def day(text: str | None) -> str:
    """Return a date, or a time's date in UTC, such as `27 Nov 2026`."""
    if not text:
        return ""
    found = date.fromisoformat(text[:10])
    return f"{found.day} {found:%b %Y}"


def due(text: str | None, finished: bool = False) -> str:
    """Return a due date beside today: `2 d late`, `tomorrow`, `Fri 27 Nov`."""
    return phrases.due(text, today(), finished)


def is_late(task: dict[str, Any]) -> bool:
    """Return whether a task should have been done before today."""
    text = task["due_date"]
    return bool(text and task["status"] != "done" and date.fromisoformat(text) < today())


def license_name(text: str | None) -> str:
    """Return the name of a license; GitHub has `NOASSERTION` for one that it does not know."""
    return "other" if text == "NOASSERTION" else text or ""


def web_url(text: str | None) -> str | None:
    """Return a URL that a link may have, or None: `javascript:` and others are no links."""
    try:
        url = urlsplit(text or "")
    except ValueError:
        return None
    return text if url.scheme in {"http", "https"} and url.hostname else None


def with_links(text: str | None) -> Markup:
    """Return a text as HTML in which its web addresses are links."""
    text = phrases.visible_lines(text or "")
    parts: list[str] = []
    end = 0
    for match in _LINK.finditer(text):
        address = match[0].rstrip(_CLOSING)
        if web_url(address):
            parts.append(escape(text[end : match.start()]))
            attributes = Markup('rel="noopener noreferrer"')
            parts.append(Markup('<a href="{0}" {1}>{0}</a>').format(address, attributes))
            end = match.start() + len(address)
    parts.append(escape(text[end:]))
    return Markup("").join(parts)


FILTERS = {"short": phrases.short, "age": phrases.age, "visible": phrases.visible} | {
    function.__name__: function
    for function in (day, due, is_late, is_old, is_quiet, license_name, web_url, with_links)
}
