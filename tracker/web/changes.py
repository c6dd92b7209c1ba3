"""The page of what GitHub's answers changed."""

import json
from datetime import datetime, timezone
from typing import Any
from urllib.parse import urlencode

from flask import Response, make_response, render_template, request

from ..api import session
from ..api.change_schemas import ChangesQuerySchema
from ..tasks import changes as history
from ..tasks.phrases import parse_time
from . import queries
from .blueprint import web

SEEN = "changes-seen"  # the cookie with the time of the newest change that was shown
SEEN_AGE = 365 * 24 * 60 * 60  # seconds
VISIT = "changes-visit"  # the cookie with the time after which changes are new in this visit
VISIT_AGE = 30 * 60  # seconds
FIRST = datetime.min.replace(tzinfo=timezone.utc)  # to a new browser all changes are new
NEW_MAX = 100  # changes that are counted as new


@web.get("/web/changes")
def changes_page() -> Response:
    """Return the changes, newest first; those since the last visit are marked."""
    query = queries.parser.parse(ChangesQuerySchema(), request, location="query")
    page = history.list_changes(**query)
    seen = read_time(SEEN) or FIRST
    since = read_time(VISIT) or seen
    rows = read_rows(page, since)
    pairs = [pair for pair in request.args.items(multi=True) if pair[0] != "cursor"]
    feed = [pair for pair in pairs if pair[0] != "limit"]
    text = render_template(
        "changes.html",
        changes=rows,
        following=page.next and f"?{urlencode([*pairs, ('cursor', str(page.next))])}",
        beyond_first="cursor" in request.args,
        query=urlencode(pairs),
        feed=f"?{urlencode(feed)}" if feed else "",
        filtered=bool(feed),
    )
    response = make_response(text)
    newest = seen
    if not feed and "cursor" not in request.args:  # else others have not been shown
        newest = max([seen, *(parse_time(row["seen_at"]) for row in rows)])
    for name, time, age in ((SEEN, newest, SEEN_AGE), (VISIT, since, VISIT_AGE)):
        response.set_cookie(cookie_name(name), time.isoformat(), age, httponly=True, samesite="Lax")
    return response


def cookie_name(name: str) -> str:
    """Return the name with the port: cookies are shared by all ports of a host."""
    return f"{name}-{session.port()}"


def read_time(cookie: str) -> datetime | None:
    """Return the time in a cookie of this page, or None."""
    try:
        time = parse_time(request.cookies.get(cookie_name(cookie), ""))
    except ValueError:
        return None
    return time if time.tzinfo else None


def count_new() -> str:
    """Return the number of changes that this browser has not shown, or an empty text."""
    number = history.count_since(read_time(SEEN), NEW_MAX)
    return f"{NEW_MAX - 1}+" if number == NEW_MAX else str(number or "")


def read_rows(page: Any, since: datetime | None = None) -> list[dict[str, Any]]:
    """Return the changes of a page, each with whether it is new since a time."""
    rows = [json.loads(row) for row in page.rows]
    return [{**row, "new": since and parse_time(row["seen_at"]) > since} for row in rows]
