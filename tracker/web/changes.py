"""The page of what GitHub's answers changed."""

import json
import re
from typing import Any
from urllib.parse import urlencode

from flask import make_response, render_template, request

from ..api.change_schemas import ChangesQuerySchema
from ..tasks import changes as history
from . import queries
from .blueprint import web

SEEN = "changes-seen"  # the cookie with the time of the newest change that was shown
SEEN_AGE = 365 * 24 * 60 * 60  # seconds
TIME = re.compile(r"[0-9T:.Z-]{1,40}")


@web.get("/web/changes")
def changes_page() -> Any:
    """Return the changes, newest first; those since the last visit are marked."""
    query = queries.parser.parse(ChangesQuerySchema(), request, location="query")
    page = history.list_changes(**query)
    rows = read_rows(page)
    pairs = [pair for pair in request.args.items(multi=True) if pair[0] != "cursor"]
    feed = [pair for pair in pairs if pair[0] != "limit"]
    text = render_template(
        "changes.html",
        changes=rows,
        seen=last_seen(),
        following=page.next and f"?{urlencode([*pairs, ('cursor', str(page.next))])}",
        feed=f"?{urlencode(feed)}" if feed else "",
        filtered=bool(feed),
    )
    response = make_response(text)
    newest = max((row["seen_at"] for row in rows), default="")
    if newest > last_seen():
        response.set_cookie(SEEN, newest, SEEN_AGE, httponly=True, samesite="Lax")
    return response


def last_seen() -> str:
    """Return the time of the newest change that this browser has shown, or an empty text."""
    value = request.cookies.get(SEEN, "")
    return value if TIME.fullmatch(value) else ""


def has_new() -> bool:
    """Return whether there is a change that this browser has not shown."""
    newest = read_rows(history.list_changes(limit=1))
    return bool(newest) and newest[0]["seen_at"] > last_seen()


def read_rows(page: Any) -> list[dict[str, Any]]:
    """Return the changes of a page, which has each as JSON."""
    return [json.loads(row) for row in page.rows]
