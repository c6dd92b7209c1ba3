"""Views without data: static files, the help and the import; the others register themselves."""

from pathlib import Path

from flask import Response, current_app, render_template, send_from_directory

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
    return render_template("help.html")


@web.get("/web/import")
def import_page() -> str:
    """Return the form for a file; the script sends it to the API."""
    base = current_app.config["SETTINGS"].github_api_base
    return render_template("import.html", stars=f"{base}/users/YOUR-NAME/starred?per_page=100")
