"""The OpenAPI document, and the page that displays it."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

ALWAYS = {"400", "403", "500"}
CALLS_GITHUB = {"502", "503", "504"}
READS_BODY = {"413", "415", "422"}
OPERATIONS = {
    ("/tasks", "get"): {"200", "401", "422", "503"},
    ("/tasks", "post"): {"201", "401", "404"} | READS_BODY | CALLS_GITHUB,
    ("/tasks/{task_id}", "get"): {"200", "304", "401", "404", "503"},
    ("/tasks/{task_id}", "put"): {"200", "401", "404", "412"} | READS_BODY | CALLS_GITHUB,
    ("/tasks/{task_id}", "patch"): {"200", "401", "404", "412"} | READS_BODY | CALLS_GITHUB,
    ("/tasks/{task_id}", "delete"): {"204", "401", "404", "412", "422", "503"},
    ("/tasks/{task_id}/refresh", "post"): {"200", "401", "404"} | CALLS_GITHUB,
    ("/health/live", "get"): {"200"},
    ("/health/ready", "get"): {"200", "503"},
}


@pytest.fixture
def document(client: FlaskClient) -> dict[str, Any]:
    response = client.get("/openapi.json")
    assert response.status_code == 200
    return dict(response.get_json())


def test_every_operation_declares_all_its_responses(document: dict[str, Any]) -> None:
    found = {
        (path, method): set(operation["responses"])
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if method != "parameters"
    }
    assert document["openapi"] == "3.1.0"
    assert found == {key: codes | ALWAYS for key, codes in OPERATIONS.items()}


def test_every_operation_has_a_summary_and_shared_error_responses(
    document: dict[str, Any],
) -> None:
    used = set()
    for path, method in OPERATIONS:
        operation = document["paths"][path][method]
        assert operation["summary"]
        for code, response in operation["responses"].items():
            if code >= "400":
                prefix, _, name = response["$ref"].rpartition("/")
                assert prefix == "#/components/responses"
                used.add(name)
    shared = document["components"]["responses"]
    assert used == set(shared)
    for response in shared.values():
        assert response["description"]
        schema = response["content"]["application/json"]["schema"]
        assert schema == {"$ref": "#/components/schemas/Error"}
    assert "Retry-After" in shared["ServiceUnavailable"]["headers"]


def test_the_schemas_have_the_rules(document: dict[str, Any]) -> None:
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
    assert "required" not in schemas["TaskPatch"]
    assert not any("default" in field for field in schemas["TaskPatch"]["properties"].values())


def test_the_document_has_no_unused_component(document: dict[str, Any]) -> None:
    text = str(document)
    for kind in ("schemas", "responses", "parameters", "headers"):
        for name in document["components"].get(kind, {}):
            assert f"#/components/{kind}/{name}'" in text, name


def test_the_id_in_a_path_is_a_64_bit_number(document: dict[str, Any]) -> None:
    (parameter,) = document["paths"]["/tasks/{task_id}"]["parameters"]
    assert parameter["schema"] == {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}


def test_the_page_loads_only_from_this_server(client: FlaskClient) -> None:
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
