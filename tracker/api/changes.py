"""Views of what GitHub's answers changed, and of a repository's stars."""

import json
from typing import Any

from flask import Response, current_app, request

from ..tasks import changes as history
from .atom import feed
from .change_schemas import ChangeSchema, ChangesQuerySchema, FeedQuerySchema, StarsSchema
from .examples import CHANGE_EXAMPLE, STARS_EXAMPLE
from .failures import DATABASE, REQUEST, errors
from .parsing import Blueprint, query_without_cursor
from .tasks import json_response, list_headers

changes = Blueprint("changes", __name__, description="Changes on GitHub")

ATOM = "application/atom+xml"
FEED_EXAMPLE = feed([CHANGE_EXAMPLE], "http://127.0.0.1:8000/changes.atom", "github.com").decode()


@changes.route("/changes", methods=["GET"])
@changes.arguments(ChangesQuerySchema(), location="query")
@changes.response(200, ChangeSchema(many=True), example=[CHANGE_EXAMPLE], headers={"Link": "Link"})
@errors(*REQUEST, *DATABASE)
def list_changes(query: dict[str, Any]) -> Response:
    """List changes on GitHub

    The newest is first. Follow `rel="next"` in `Link` for the next page. A change is listed
    once, however many tasks are on the repository, and stays when they are deleted.
    """
    page = history.list_changes(**query)
    return json_response(f"[{','.join(page.rows)}]\n", list_headers(page))


@changes.route("/changes.atom", methods=["GET"])
@changes.arguments(FeedQuerySchema(), location="query")
@changes.response(200, {"type": "string"}, content_type=ATOM, example=FEED_EXAMPLE)
@errors(*REQUEST, *DATABASE)
def get_changes_feed(query: dict[str, Any]) -> Response:
    """Get the newest changes on GitHub as a feed

    An Atom feed (RFC 4287) for a feed reader.
    """
    entries = [json.loads(row) for row in history.list_changes(**query).rows]
    here = f"{request.scheme}://{request.host}{request.script_root}{request.path}"
    if query_string := query_without_cursor(request):
        here += f"?{query_string}"
    body = feed(entries, here, current_app.config["GITHUB_WEB_HOST"])
    return Response(body, content_type=f"{ATOM}; charset=utf-8")


@changes.route("/repositories/<owner>/<name>/stars", methods=["GET"])
@changes.response(200, StarsSchema(many=True), example=STARS_EXAMPLE)
@errors(*REQUEST, *DATABASE, "no_tasks_on_repository")
def list_stars(owner: str, name: str) -> list[dict[str, Any]]:
    """List a repository's stars by day

    The oldest day is first. A day, in UTC, has the last number that GitHub sent on it; a day on
    which GitHub was not asked is missing. The numbers stay when the repository's tasks are deleted.
    """
    return history.read_stars(f"{owner}/{name}")
