"""A test client that holds every answer it gets against the OpenAPI document."""

from typing import Any

import jsonschema_rs
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import HTTPException
from werkzeug.test import TestResponse

UNDOCUMENTED = {"/docs", "/docs/docs.js", "/docs/{name}", "/openapi.json", "/broken"}


class ConformingClient(FlaskClient):
    """Flask's test client; an answer that the document does not foresee is an AssertionError."""

    def open(self, *args: Any, **kwargs: Any) -> TestResponse:
        """Make a request, and check its answer."""
        response = super().open(*args, **kwargs)
        check(self.application, response)
        return response


def check(app: Flask, response: TestResponse) -> None:
    """Hold an answer against the operation that it comes from, or against the error schema."""
    operation = _operation(app, response)
    if operation is None:
        if response.status_code >= 400:
            _validate(app, {"$ref": "#/components/schemas/Error"}, response)
        return
    declared = operation["responses"].get(str(response.status_code))
    assert declared is not None, f"{response.request.path} declares no {response.status_code}"
    content = declared.get("content")
    if content is None or response.request.method == "HEAD":
        assert response.data == b""
    else:
        (schema,) = [media["schema"] for media in content.values()]
        _validate(app, schema, response)
    for name in {"ETag", "Link", "Location", "Retry-After"} & set(response.headers.keys()):
        if name != "ETag" or response.status_code != 412:
            assert name in declared["headers"], f"{response.request.path} declares no {name}"


def _operation(app: Flask, response: TestResponse) -> dict[str, Any] | None:
    request = response.request
    try:
        rule, _ = app.url_map.bind("localhost").match(
            request.path, method=request.method, return_rule=True
        )
    except HTTPException:
        return None
    path = str(rule).replace("<task:task_id>", "{task_id}").replace("<path:name>", "{name}")
    if path in UNDOCUMENTED or request.method == "OPTIONS":
        return None
    method = request.method.lower().replace("head", "get")
    operation: dict[str, Any] = _document(app)["paths"][path][method]
    return operation


def _validate(app: Flask, schema: dict[str, Any], response: TestResponse) -> None:
    assert response.mimetype == "application/json"
    whole = {**schema, "components": _document(app)["components"]}
    validator = jsonschema_rs.Draft202012Validator(whole, validate_formats=True)
    validator.validate(response.get_json())


_documents: dict[bool, dict[str, Any]] = {}


def _document(app: Flask) -> dict[str, Any]:
    # Made once for all applications of a kind: they differ in nothing but the token.
    guarded = app.config["SETTINGS"].api_token is not None
    if guarded not in _documents:
        api = app.extensions["flask-smorest"]["apis"][""]["ext_obj"]
        _documents[guarded] = api.spec.to_dict()
    return _documents[guarded]
