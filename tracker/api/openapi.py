"""The OpenAPI document, and Swagger UI from files of our own."""

from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask_smorest
import flask_swagger_ui
from flask import Blueprint, Flask, Response, send_from_directory
from werkzeug.exceptions import HTTPException

from tracker.api import parsing as parser
from tracker.api.parsing import Decorator
from tracker.api.schemas import ErrorSchema
from tracker.config import VERSION, Settings
from tracker.errors import answer_http_exception

DESCRIPTION = """\
Keep tasks, each linked to a GitHub repository. When a task is created, GitHub is asked for the
repository's metadata, and they are stored with the task.

Every answer carries `X-Request-ID`; the service's log names the same for a failure.
Every error has one shape, with what is wrong named by location and field under `errors`.
"""

# What each error answer means, said once for all operations.
ERRORS = {
    400: "The body is not valid JSON, or the host is not trusted.",
    401: "The bearer token is missing or wrong.",
    403: "The request comes from a page of another site.",
    404: "There is no such task.",
    412: "The task is no longer the one of If-Match; `ETag` has its present tag.",
    413: "The body is larger than 256 KiB.",
    415: "The body is not declared as JSON.",
    422: "A field is invalid or unknown, or GitHub has no such repository for us.",
    500: "Something unforeseen; the log tells more under the request's ID.",
    502: "GitHub is failing, answers nonsense, or rejected our token.",
    503: "The database can't serve now, or GitHub's rate limit is used up, or too many requests "
    "wait for it; see `Retry-After`.",
    504: "GitHub did not answer in time.",
}
RETRY_AFTER = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
}

_ASSETS = Path(flask_swagger_ui.__file__).parent / "dist"
_PAGES = Path(__file__).parent / "static"
_CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Api(flask_smorest.Api):
    """flask-smorest's Api with our error answers, in document and deed."""

    ERROR_SCHEMA = ErrorSchema
    DEFAULT_ERROR_RESPONSE_NAME = None

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Answer an HTTP error in the one JSON shape."""
        return answer_http_exception(error)

    def _register_pagination_header(self) -> None:
        # Its own header and schema would stand in the document unused.
        pass


def init_app(app: Flask, settings: Settings, *blueprints: flask_smorest.Blueprint) -> None:
    """Serve the blueprints, `/openapi.json` for them, and Swagger UI at `/docs`."""
    app.config.update(
        API_TITLE="GitHub Task Tracker",
        API_VERSION=VERSION,
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        API_SPEC_OPTIONS={
            "info": {
                "description": DESCRIPTION,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
        },
    )
    api = Api(app)
    if settings.api_token:
        scheme = {"type": "http", "scheme": "bearer", "description": "The `API_TOKEN`."}
        api.spec.components.security_scheme("API_TOKEN", scheme)
        api.spec.options["security"] = [{"API_TOKEN": []}]
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    app.register_blueprint(_docs)


def declares(*codes: int) -> Decorator:
    """Declare a view's error answers, those of every view without saying."""

    def decorate(view: Any) -> Any:
        for code in (400, *codes, 500):
            headers = RETRY_AFTER if code == HTTPStatus.SERVICE_UNAVAILABLE else None
            about = {"schema": ErrorSchema, "description": ERRORS[code], "headers": headers}
            view = _ANY.alt_response(code, **about)(view)
        return view

    return decorate


# alt_response uses nothing of the blueprint that it is called on.
_ANY = parser.Blueprint("any", __name__)

_docs = Blueprint("docs", __name__)


@_docs.get("/docs")
def page() -> Response:
    """Show Swagger UI."""
    response = send_from_directory(_PAGES, "docs.html")
    response.headers["Content-Security-Policy"] = _CONTENT_SECURITY_POLICY
    return response


@_docs.get("/docs/docs.js")
def script() -> Response:
    """Give the page's own script; a strict policy allows none within the page."""
    return send_from_directory(_PAGES, "docs.js")


@_docs.get("/docs/<path:name>")
def asset(name: str) -> Response:
    """Give one of Swagger UI's files."""
    return send_from_directory(_ASSETS, name)
