"""The OpenAPI document and the page that shows it."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

_ASKS_GITHUB = {"502", "503", "504"}
_READS_BODY = {"400", "413", "415", "422"}
OPERATIONS = {
    ("/tasks", "get"): {"200", "401", "422", "500", "503"},
    ("/tasks", "post"): {"201", "401", "403", "404", "500"} | _READS_BODY | _ASKS_GITHUB,
    ("/tasks/{task_id}", "get"): {"200", "304", "401", "404", "500", "503"},
    ("/tasks/{task_id}", "put"): {
        *("200", "401", "403", "404", "412", "500", *_READS_BODY, *_ASKS_GITHUB),
    },
    ("/tasks/{task_id}", "patch"): {
        *("200", "401", "403", "404", "412", "500", *_READS_BODY, *_ASKS_GITHUB),
    },
    ("/tasks/{task_id}", "delete"): {"204", "401", "403", "404", "412", "500", "503"},
    ("/tasks/{task_id}/refresh", "post"): {"200", "401", "403", "404", "500", *_ASKS_GITHUB},
    ("/health/live", "get"): {"200", "500"},
    ("/health/ready", "get"): {"200", "500", "503"},
}


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    response = client.get("/openapi.json")
    assert response.status_code == 200
    assert isinstance(response.json, dict)
    return response.json


def test_every_operation_is_there_with_every_answer(document: dict[str, Any]) -> None:
    found = {
        (path, method): set(operation["responses"])
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }
    assert document["openapi"] == "3.1.0"
    assert found == {key: codes | {"400"} for key, codes in OPERATIONS.items()}


def test_every_operation_has_a_summary_and_every_error_our_shape(document: dict[str, Any]) -> None:
    for (path, method), codes in OPERATIONS.items():
        operation = document["paths"][path][method]
        assert operation["summary"]
        for code in codes:
            response = operation["responses"][code]
            assert response["description"]
            if code >= "400":
                schema = response["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Error"}


def test_the_schemas_say_the_rules(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    assert set(schemas) == {"TaskInput", "TaskPatch", "Task", "Error", "Health"}
    fields = schemas["TaskInput"]["properties"]
    assert schemas["TaskInput"]["additionalProperties"] is False
    assert schemas["TaskInput"]["required"] == ["repository", "title"]
    assert (fields["title"]["minLength"], fields["title"]["maxLength"]) == (1, 200)
    assert fields["description"]["maxLength"] == 10_000
    assert fields["status"]["enum"] == ["open", "in_progress", "done"]
    assert fields["priority"]["default"] == "normal"
    assert fields["tags"]["maxItems"] == 20
    assert fields["due_date"]["format"] == "date"


def test_an_answer_has_just_the_fields_of_the_document(
    client: FlaskClient, document: dict[str, Any]
) -> None:
    task = client.post("/tasks", json={"title": "x", "repository": "pallets/flask"}).get_json()
    assert list(task) == list(document["components"]["schemas"]["Task"]["properties"])


def test_the_examples_are_valid(client: FlaskClient, document: dict[str, Any]) -> None:
    content = document["paths"]["/tasks"]["post"]["requestBody"]["content"]["application/json"]
    created = client.post("/tasks", json=content["example"])
    assert created.status_code == 201
    shown = document["paths"]["/tasks"]["post"]["responses"]["201"]["content"]
    assert list(shown["application/json"]["example"]) == list(created.get_json())


def test_the_id_in_a_path_is_a_64_bit_number(document: dict[str, Any]) -> None:
    (parameter,) = document["paths"]["/tasks/{task_id}"]["parameters"]
    assert parameter["schema"] == {
        "type": "integer",
        "minimum": 1,
        "maximum": 2**63 - 1,
    }


def test_the_page_loads_all_from_this_server_and_runs_nothing_inline(client: FlaskClient) -> None:
    page = client.get("/docs", buffered=True)
    assert page.status_code == 200
    links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(links) >= 4
    for link in links:
        assert client.get(f"/{link}", buffered=True).status_code == 200
    assert re.search(r"<script>|<style>| on\w+=|https?:", page.text) is None
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy


@pytest.mark.parametrize("name", ["../../__init__.py", "%2e%2e/__init__.py", "nope.js"])
def test_the_page_serves_no_other_file(client: FlaskClient, name: str) -> None:
    assert client.get(f"/docs/{name}").status_code == 404


@pytest.mark.parametrize("path", ["/docs", "/tasks/1", "/nope", "/openapi.json"])
def test_every_answer_tells_browsers_what_to_refuse(client: FlaskClient, path: str) -> None:
    headers = client.get(path, buffered=True).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
