"""Views without data: static files and the help; the others register themselves."""

from pathlib import Path

from flask import Response, render_template, request, send_from_directory, url_for

from . import changes, lists, login, repositories, task
from .blueprint import web

__all__ = ["changes", "lists", "login", "repositories", "task", "web"]

STATIC = Path(__file__).parent / "static"
STATIC_MAX_AGE = 365 * 24 * 60 * 60  # seconds; a changed file has another URL


@web.get("/web/static/<name>")
def static_file(name: str) -> Response:
    """Return the script, the stylesheet or the icon."""
    response = send_from_directory(STATIC, name, max_age=STATIC_MAX_AGE)
    response.cache_control.immutable = True
    return response


@web.get("/web/help")
def help_page() -> str:
    """Return the keys, the search line's language and the bookmark."""
    origin = f"{request.scheme}://{request.host}"
    return render_template("help.html", address=origin + url_for("web.list_page"))
