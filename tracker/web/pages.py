"""Pages: their headers, their errors as HTML, and what every template can use."""

import secrets
from typing import Any
from urllib.parse import urlencode

from flask import Flask, Response, current_app, redirect, render_template, request, url_for

from ..api import session
from ..api.security import POLICY
from ..tasks.counts import read_overview
from . import changes, filters, queries
from .blueprint import wants_html
from .views import digest, web

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'; "
    "require-trusted-types-for 'script'; trusted-types 'none'"
)
THEMES = {"light", "dark"}


def init_app(app: Flask) -> None:
    """Register the pages, and return errors of pages as HTML to clients that read HTML."""
    app.jinja_env.trim_blocks = app.jinja_env.lstrip_blocks = True
    app.jinja_env.filters.update(filters.FILTERS)
    app.register_blueprint(web)
    app.context_processor(variables)
    app.after_request(finish)


def variables() -> dict[str, Any]:
    """Return the variables of every template."""
    theme = request.cookies.get("theme")
    return {
        "static": static_url,
        "theme": theme if theme in THEMES else None,
        "root": request.script_root,
        "logged_in": session.is_valid(current_app.config["SETTINGS"].api_tokens),
        "new_key": secrets.token_hex(16),
        "tabs": tabs,
        "bookmark": bookmark(),
        "today": queries.today,
        "here": here(),
    }


def bookmark() -> str:
    """Return the URL of a bookmark that opens this service with the address of a page."""
    address = f"{request.scheme}://{request.host}{url_for('web.list_page')}"
    return f"javascript:location='{address}?add='+encodeURIComponent(location.href)"


def tabs() -> dict[str, str]:
    """Return the numbers beside the names of the main views."""
    tasks, repositories = read_overview()
    return {
        "tasks": f"{'~' if tasks.estimated else ''}{tasks.number:,}",
        "repositories": "" if repositories is None else f"{repositories:,}",
        "changes": changes.count_new(),
    }


def here() -> str:
    """Return the path and query of this page, for a form that returns to it."""
    if request.method != "GET":
        return url_for("web.list_page")
    query = urlencode([pair for pair in request.args.items(multi=True) if pair[0] != "add"])
    return request.script_root + request.path + (f"?{query}" if query else "")


def static_url(name: str) -> str:
    """Return the URL of a static file, which changes with its content."""
    return url_for("web.static_file", name=name, v=digest(name))


def finish(response: Response) -> Response:
    """Add the headers of a page, and replace an error of a page by a page that shows it."""
    if not is_page_path():
        return response
    if response.status_code >= 400 and response.mimetype == "application/json" and wants_html():
        response = error_page(response)
    if response.mimetype == "text/html":
        response.headers.setdefault(POLICY, CONTENT_SECURITY_POLICY)
        response.headers.setdefault("Vary", "Accept, Cookie")
    return response


def is_page_path() -> bool:
    """Return whether the request is for a page, or for nothing below `/web`."""
    path = request.path
    return path in {"/", "/web"} or path.startswith("/web/")


def error_page(response: Response) -> Response:
    """Return an error as a page; without a login, as a redirect to the form."""
    error = response.get_json()
    query = request.query_string.decode(errors="replace")
    address = request.script_root + request.path + (f"?{query}" if query else "")
    if response.status_code == 401 and request.method == "GET":
        if request.headers.get("Sec-Fetch-Site", "none") in {"cross-site", "same-site"}:
            # Browsers send a strict cookie only with a navigation that a page of ours starts.
            return _html(render_template("continue.html", address=address), response, 200)
        return redirect(url_for("web.login_page", next=address), 303)  # type: ignore[return-value]
    return _html(render_template("error.html", error=error), response, response.status_code)


def _html(text: str, earlier: Response, status: int) -> Response:
    page = Response(text, status, mimetype="text/html")
    kept = {"Retry-After", "Allow", "WWW-Authenticate"} & set(earlier.headers.keys())
    page.headers.extend({name: earlier.headers[name] for name in kept})
    return page
