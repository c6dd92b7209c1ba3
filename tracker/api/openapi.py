"""The OpenAPI document, and Swagger UI from local files."""

from collections.abc import Callable
from http import HTTPStatus
from pathlib import Path
from typing import Any

import flask_smorest
import flask_swagger_ui
from flask import Blueprint, Flask, Response, send_from_directory
from werkzeug.exceptions import HTTPException

from ..config import VERSION, Settings
from .error_handlers import ErrorSchema, handle_http_exception
from .schemas import READ_ONLY

DESCRIPTION = """\
Tasks, each linked to a GitHub repository. When a task is created, the service fetches the
repository's metadata from GitHub and stores them with the task.

Every response carries `X-Request-ID`; the service's log names the same ID for a failure.
Every error has one shape, with the invalid parts by location and field under `errors`.
"""

# Descriptions of the error responses, shared by all operations.
ERRORS = {
    400: "The body is not valid JSON, or the host is not trusted.",
    401: "The bearer token is missing or wrong.",
    403: "The request comes from a page of another site.",
    404: "The task does not exist.",
    412: "The task's version is none of those in If-Match; `ETag` has the current one.",
    413: "The body exceeds 256 KiB.",
    415: "The body is not declared as JSON.",
    422: "A field is invalid or unknown, or the repository is not available on GitHub.",
    500: "Internal error; the log has details under the request's ID.",
    502: "GitHub failed, sent an unusable response, or rejected our token.",
    503: "The database is unavailable, or GitHub's rate limit is used up; see `Retry-After`.",
    504: "GitHub did not respond in time.",
}
RETRY_AFTER_HEADER = {
    "Retry-After": {"description": "Seconds to wait.", "schema": {"type": "integer", "minimum": 1}}
}

ASSETS = Path(flask_swagger_ui.__file__).parent / "dist"
ASSET_MAX_AGE = 60 * 60  # seconds; their names stay the same in the next version
PAGES = Path(__file__).parent / "static"
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


class Api(flask_smorest.Api):
    """flask-smorest's Api with our error responses."""

    ERROR_SCHEMA = ErrorSchema
    DEFAULT_ERROR_RESPONSE_NAME = None

    def handle_http_exception(self, error: HTTPException) -> Response:
        """Return the response for an HTTP error."""
        return handle_http_exception(error)


def init_app(app: Flask, settings: Settings, *blueprints: flask_smorest.Blueprint) -> None:
    """Register the blueprints, `/openapi.json` for them, and Swagger UI at `/docs`."""
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
    components = api.spec.components
    # flask-smorest's own pagination, which we do not use.
    components.schemas.pop("PaginationMetadata", None)
    components.headers.pop("PAGINATION", None)
    for code, description in ERRORS.items():
        headers = RETRY_AFTER_HEADER if code == HTTPStatus.SERVICE_UNAVAILABLE else {}
        components.response(
            component_name(code),
            {
                "description": description,
                "content": {"application/json": {"schema": ErrorSchema}},
                "headers": headers,
            },
        )
    if settings.api_token:
        scheme = {"type": "http", "scheme": "bearer", "description": "The `API_TOKEN`."}
        components.security_scheme("API_TOKEN", scheme)
        api.spec.options["security"] = [{"API_TOKEN": []}]
    for blueprint in blueprints:
        api.register_blueprint(blueprint)
    for name in ("TaskInput", "TaskPatch"):  # they ignore what GET returned beside their fields
        components.schemas[name]["patternProperties"] = {f"^({'|'.join(sorted(READ_ONLY))})$": {}}
    app.register_blueprint(docs)


def component_name(code: int) -> str:
    """Return the name of an error response among the document's components."""
    return HTTPStatus(code).phrase.title().replace(" ", "")


def errors(*codes: int) -> Callable[[Any], Any]:
    """Declare the error responses of a view; 400, 403 and 500 are those of every view."""
    responses = {
        str(code): {"$ref": f"#/components/responses/{component_name(code)}"}
        for code in sorted({400, 403, *codes, 500})
    }
    decorator: Callable[[Any], Any] = flask_smorest.Blueprint("errors", __name__).doc(
        responses=responses
    )
    return decorator


docs = Blueprint("docs", __name__)


@docs.get("/docs")
def page() -> Response:
    """Return Swagger UI's page."""
    response = send_from_directory(PAGES, "docs.html")
    response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
    return response


@docs.get("/docs/docs.js")
def script() -> Response:
    """Return the page's own script: the policy allows none in the page."""
    return send_from_directory(PAGES, "docs.js")


@docs.get("/docs/<path:name>")
def asset(name: str) -> Response:
    """Return one of Swagger UI's files."""
    return send_from_directory(ASSETS, name, max_age=ASSET_MAX_AGE)
