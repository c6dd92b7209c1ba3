"""Views without data: static files, the help and the import; the others register themselves."""

import hashlib
from functools import cache
from pathlib import Path

from flask import Response, current_app, render_template, request, send_from_directory

from . import changes, lists, login, repositories, task
from .blueprint import web

__all__ = ["changes", "lists", "login", "repositories", "task", "web"]

STATIC = Path(__file__).parent / "static"
STATIC_MAX_AGE = 365 * 24 * 60 * 60  # seconds; a changed file has another URL


@web.get("/web/static/<name>")
def static_file(name: str) -> Response:
    """Return the script, the stylesheet or the icon."""
    # During an upgrade, a page of one version may ask a node of the other for the file.
    same = request.args.get("v") == digest(name)
    response = send_from_directory(STATIC, name, max_age=STATIC_MAX_AGE if same else None)
    response.cache_control.immutable = same
    return response


@cache
def digest(name: str) -> str:
    """Return a text that changes with the content of a static file."""
    path = STATIC / name
    return hashlib.sha256(path.read_bytes()).hexdigest()[:12] if path.is_file() else ""


@web.get("/web/help")
def help_page() -> str:
    """Return the keys, the search line's language and the bookmark."""
    return render_template("help.html")


@web.get("/web/import")
def import_page() -> str:
    """Return the form for a file; the script sends it to the API."""
    base = current_app.config["SETTINGS"].github_api_base
    return render_template("import.html", stars=f"{base}/users/YOUR-NAME/starred?per_page=100")
