"""The OpenAPI document, and the page that displays it."""

import re
from typing import Any

import pytest
from flask.testing import FlaskClient

from tracker.api.examples import EXAMPLE, PARAMETER_EXAMPLES
from tracker.api.schemas import ListQuerySchema

ALWAYS = {"400", "403", "500"}
CALLS_GITHUB = {"502", "503", "504"}
READS_BODY = {"413", "415", "422"}
OPERATIONS = {
    ("/tasks", "get"): {"200", "401", "422", "503"},
    ("/tasks", "post"): {"201", "401", "404"} | READS_BODY | CALLS_GITHUB,
    ("/tasks", "patch"): {"200", "401", "412", "503"} | READS_BODY,
    ("/tasks", "delete"): {"200", "401", "412", "422", "503"},
    ("/tasks/counts", "get"): {"200", "401", "422", "503"},
    ("/tasks/export", "get"): {"200", "401", "422", "503"},
    ("/tasks/import", "post"): {"200", "401", "412", "503"} | READS_BODY,
    ("/tasks/{task_id}", "get"): {"200", "304", "401", "404", "422", "503"},
    ("/tasks/{task_id}", "put"): {"200", "401", "404", "412"} | READS_BODY | CALLS_GITHUB,
    ("/tasks/{task_id}", "patch"): {"200", "401", "404", "412"} | READS_BODY | CALLS_GITHUB,
    ("/tasks/{task_id}", "delete"): {"204", "401", "404", "412", "422", "503"},
    ("/tasks/{task_id}/refresh", "post"): {"200", "401", "404", "422"} | CALLS_GITHUB,
    ("/changes", "get"): {"200", "401", "422", "503"},
    ("/changes.atom", "get"): {"200", "401", "422", "503"},
    ("/repositories/{owner}/{name}/stars", "get"): {"200", "401", "404", "422", "503"},
    ("/repositories", "get"): {"200", "401", "422", "503"},
    ("/repositories/{owner}/{name}", "get"): {"200", "401", "404", "422", "503"},
    ("/repositories/{owner}/{name}/refresh", "post"): {"200", "401", "404", "422"} | CALLS_GITHUB,
    ("/rate-limit", "get"): {"200", "401", "422"} | CALLS_GITHUB,
    ("/metrics", "get"): {"200", "401", "422"},
    ("/health/live", "get"): {"200"},
    ("/health/ready", "get"): {"200", "503"},
}
IDS = [
    "listTasks",
    "createTask",
    "updateTasks",
    "deleteTasks",
    "countTasks",
    "exportTasks",
    "importTasks",
    "getTask",
    "replaceTask",
    "updateTask",
    "deleteTask",
    "refreshTask",
    "listChanges",
    "getChangesFeed",
    "listStars",
    "listRepositories",
    "getRepository",
    "refreshRepository",
    "getRateLimit",
    "getMetrics",
    "getLiveness",
    "getReadiness",
]


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


def test_every_operation_has_an_id_a_summary_and_a_description(document: dict[str, Any]) -> None:
    operations = [document["paths"][path][method] for path, method in OPERATIONS]
    assert [operation["operationId"] for operation in operations] == IDS
    for operation in operations:
        assert operation["summary"]
        assert operation["description"]


def test_every_error_has_an_example_of_its_own_status(document: dict[str, Any]) -> None:
    examples = document["components"]["examples"]
    for path, method in OPERATIONS:
        for status, response in document["paths"][path][method]["responses"].items():
            if status >= "400":
                content = response["content"]["application/json"]
                # That of an import has the invalid records, too.
                kind = "ImportError" if (path, status) == ("/tasks/import", "422") else "Error"
                assert content["schema"] == {"$ref": f"#/components/schemas/{kind}"}
                assert content["examples"]
                for name, reference in content["examples"].items():
                    assert reference == {"$ref": f"#/components/examples/{name}"}
                    assert str(examples[name]["value"]["code"]) == status
                    assert examples[name]["summary"] in response["description"]


def test_every_response_declares_its_headers(document: dict[str, Any]) -> None:
    needed = {"401": "WWW-Authenticate", "412": "ETag", "503": "Retry-After"}
    for path, method in OPERATIONS:
        for status, response in document["paths"][path][method]["responses"].items():
            declared = {"X-Request-ID"}
            # That of `expect` and of `restore` is about no one task.
            if (path, status) not in {("/tasks", "412"), ("/tasks/import", "412")}:
                declared.add(needed.get(status, "X-Request-ID"))
            assert declared <= response["headers"].keys()
            for name, reference in response["headers"].items():
                assert reference == {"$ref": f"#/components/headers/{name}"}
    headers = document["components"]["headers"]
    assert headers["X-Total-Count"]["schema"]["type"] == "integer"
    assert headers["X-Request-ID"]["required"] is True


def test_every_parameter_is_shared_and_has_an_example(document: dict[str, Any]) -> None:
    used: set[str] = set()
    for item in document["paths"].values():
        for part in (item, *(each for each in item.values() if isinstance(each, dict))):
            used |= {each["$ref"] for each in part.get("parameters", [])}
    parameters = dict(document["components"]["parameters"])
    assert used == {f"#/components/parameters/{name}" for name in parameters}
    # They need a filter, so Swagger UI has to fill in one, but none in a list.
    tag = parameters["tag"] | {"example": PARAMETER_EXAMPLES["tag"]}
    assert (parameters.pop("updateTasks.tag"), parameters.pop("deleteTasks.tag")) == (tag, tag)
    for name, parameter in parameters.items():
        assert parameter["name"] == name.rpartition(".")[2]
        assert parameter["description"]
        # Swagger UI sends the example of a parameter, but not one of its schema.
        required = parameter.get("required", False)
        assert ("example" in parameter, "examples" in parameter["schema"]) == (
            required,
            not required,
        )


def test_the_example_of_each_filter_finds_the_example_of_a_task(client: FlaskClient) -> None:
    task = client.post("/tasks", json=EXAMPLE).get_json()
    changed = {"completed_after", "due"}  # the example of a task is open, and due
    names = ListQuerySchema().fields.keys() - {"cursor"} - changed
    assert len(names) > 8
    for name in names:
        value = PARAMETER_EXAMPLES[name]
        text = str(value).lower() if isinstance(value, bool) else value
        assert client.get("/tasks", query_string={name: text}).get_json() == [task], name
    task = client.patch(
        f"/tasks/{task['id']}", json={"status": "done", "due_date": None}
    ).get_json()
    for name in changed:
        query = {name: PARAMETER_EXAMPLES[name]}
        assert client.get("/tasks", query_string=query).get_json() == [task], name
    page = client.get("/tasks", query_string={"cursor": PARAMETER_EXAMPLES["cursor"]})
    assert page.status_code == 200


def test_the_example_of_a_link_leads_to_a_page(
    client: FlaskClient, document: dict[str, Any]
) -> None:
    example = document["components"]["headers"]["Link"]["example"]
    (url,) = re.findall('<(.*)>; rel="next"', example)
    assert client.get(url).status_code == 200


@pytest.mark.parametrize(
    ("method", "header", "status"),
    [("GET", "If-None-Match", 304), ("PUT", "If-Match", 200), ("POST", "Idempotency-Key", 201)],
)
def test_the_example_of_each_header_works(
    client: FlaskClient, method: str, header: str, status: int
) -> None:
    created = client.post("/tasks?metadata=optional", json=EXAMPLE)
    path = "/tasks" if method == "POST" else created.location
    headers = {header: str(PARAMETER_EXAMPLES[header])}
    response = client.open(path, method=method, json=EXAMPLE, headers=headers)
    assert response.status_code == status


def test_every_pattern_is_one_for_javascript_too(document: dict[str, Any]) -> None:
    patterns = re.findall(r"'pattern': '([^']*)'", str(document))
    assert sorted(set(patterns)) == [
        "^[ -~]{1,40}$",
        "^[!-~]{1,255}$",
        "^[A-Za-z0-9-]{1,50}$",
        "^[A-Za-z0-9.+-]{1,40}$",
        "^[A-Za-z0-9_-]{1,39}$",
    ]


def test_a_choice_is_one_type_wherever_it_is_used(document: dict[str, Any]) -> None:
    components = document["components"]
    assert components["schemas"]["Status"]["enum"] == ["open", "in_progress", "done"]
    assert components["schemas"]["MetadataStatus"]["enum"] == ["current", "pending", "unavailable"]
    for name in ("Status", "Priority"):
        fields = [
            components["schemas"][s]["properties"]
            for s in ("TaskInput", "TaskPatch", "Task", "BulkPatch")
        ]
        used = [each[name.lower()] for each in fields]
        used.append(components["parameters"][name.lower()]["schema"]["items"])
        assert {each["$ref"] for each in used} == {f"#/components/schemas/{name}"}
    listed = components["parameters"]["metadata_status"]["schema"]
    assert listed["items"] == {"$ref": "#/components/schemas/MetadataStatus"}


def test_a_client_may_meet_new_members_of_a_response(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    closed = {name for name, each in schemas.items() if each.get("additionalProperties") is False}
    assert closed == {"TaskInput", "TaskPatch", "BulkPatch"}


def test_the_fields_that_the_service_sets_are_read_only(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    fields = schemas["Task"]["properties"]
    writable = {name for name, field in fields.items() if "readOnly" not in field}
    assert writable == schemas["TaskInput"]["properties"].keys()


def test_the_server_is_the_one_that_was_asked(client: FlaskClient) -> None:
    asked = client.get("/openapi.json", base_url="https://127.0.0.1:8443/tracker")
    document: dict[str, Any] = asked.get_json()
    assert document["servers"] == [{"url": "https://127.0.0.1:8443/tracker"}]


def test_the_schemas_have_the_rules(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    objects = {"TaskInput", "TaskPatch", "Task", "BulkPatch", "Bulk", "Error", "Health"}
    objects |= {"Change", "Stars", "Repository", "TaskCount", "RateLimit"}
    objects |= {"Import", "ImportError", "Invalid"}
    assert set(schemas) == objects | {"Status", "Priority", "MetadataStatus", "ChangeKind"}
    fields = schemas["TaskInput"]["properties"]
    assert schemas["TaskInput"]["additionalProperties"] is False
    assert schemas["TaskInput"]["required"] == ["repository", "title"]
    assert (fields["title"]["minLength"], fields["title"]["maxLength"]) == (1, 200)
    assert fields["description"]["maxLength"] == 10_000
    assert fields["status"]["default"] == "open"
    assert fields["priority"]["default"] == "normal"
    assert fields["tags"]["maxItems"] == 20
    assert fields["due_date"]["format"] == "date"
    assert "required" not in schemas["TaskPatch"]
    assert not any("default" in field for field in schemas["TaskPatch"]["properties"].values())


def test_the_document_has_no_unused_component(document: dict[str, Any]) -> None:
    text = str(document)
    for kind in ("schemas", "examples", "parameters", "headers"):
        for name in document["components"].get(kind, {}):
            assert f"#/components/{kind}/{name}'" in text, name


def test_the_id_in_a_path_is_a_64_bit_number(document: dict[str, Any]) -> None:
    schema = document["components"]["parameters"]["task_id"]["schema"]
    assert schema == {"type": "integer", "format": "int64", "minimum": 1, "maximum": 2**63 - 1}


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
