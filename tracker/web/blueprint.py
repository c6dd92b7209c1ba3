"""The blueprint of the pages, and the clients for which they are."""

from flask import Blueprint, request

web = Blueprint("web", __name__, template_folder="templates")


def wants_html() -> bool:
    """Return whether the client prefers HTML to JSON, as browsers do."""
    best = request.accept_mimetypes.best_match(["application/json", "text/html"])
    return best == "text/html"
