"""The OpenAPI document, and Swagger UI from local files."""

from collections.abc import Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import flask_smorest
import flask_swagger_ui
from flask import Blueprint, Flask, Response, current_app, jsonify, request, send_from_directory
from werkzeug.exceptions import HTTPException

from ..config import VERSION, Settings
from .components import Conventions
from .error_handlers import ErrorSchema, handle_http_exception
from .failures import FAILURES
from .schemas import READ_ONLY

DESCRIPTION = """\
Tasks, each linked to a GitHub repository. When a task is created, the service fetches the
repository's metadata from GitHub and stores them with the task.

Every response carries `X-Request-ID`; the service's log names the same ID for a failure.
Every error has one shape: `reason` is a stable word for programs, and `errors` has the invalid
parts by location and field.
"""

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
        API_SPEC_OPTIONS={
            "info": {
                "description": DESCRIPTION,
                "license": {"name": "MIT", "identifier": "MIT"},
            },
        },
    )
    api = Api(app, spec_kwargs={"extra_plugins": [Conventions()]})
    for blueprint in blueprints:
        app.register_blueprint(blueprint)
    # Describing the operations takes two thirds of create_app(), and only this document needs it.
    app.extensions["openapi"] = cache(partial(_describe, api, app, settings, blueprints))
    app.cli.commands.pop("openapi", None)  # flask-smorest's commands print what is described so far
    app.register_blueprint(docs)


def _describe(
    api: Api, app: Flask, settings: Settings, blueprints: Sequence[flask_smorest.Blueprint]
) -> dict[str, Any]:
    """Return the OpenAPI document of the blueprints, without the service's address."""
    components = api.spec.components
    # flask-smorest's own pagination, which we do not use.
    components.schemas.pop("PaginationMetadata", None)
    components.headers.pop("PAGINATION", None)
    for name, failure in FAILURES.items():
        example = {"summary": failure.description, "value": failure.example}
        components.example(name, example, lazy=True)
    scheme = {"type": "http", "scheme": "bearer", "description": "The service's `API_TOKEN`."}
    components.security_scheme("API_TOKEN", scheme)
    optional: list[dict[str, list[str]]] = [] if settings.api_token else [{}]
    api.spec.options["security"] = [{"API_TOKEN": []}, *optional]
    for blueprint in blueprints:
        name = blueprint.name
        blueprint.register_views_in_doc(api, app, api.spec, name=name, parameters=None)
        api.spec.tag({"name": name, "description": blueprint.description})
    for name in ("TaskInput", "TaskPatch", "BulkPatch"):  # they ignore what only GET returns
        components.schemas[name]["patternProperties"] = {f"^({'|'.join(sorted(READ_ONLY))})$": {}}
    document: dict[str, Any] = api.spec.to_dict()
    return document


docs = Blueprint("docs", __name__)


@docs.get("/openapi.json")
def document() -> Response:
    """Return the OpenAPI document, with the address to which the request was sent."""
    servers = [{"url": f"{request.scheme}://{request.host}{request.script_root}"}]
    return jsonify(current_app.extensions["openapi"]() | {"servers": servers})


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
