"""Who may ask, from where, and what browsers are told."""

import dataclasses
from typing import Any

import pytest
from flask.testing import FlaskClient

from tracker import create_app
from tracker.config import Settings, load_settings

TASK = {"title": "Read the docs", "repository": "pallets/flask"}
TOKEN = "correct-horse-battery-staple"


@pytest.fixture
def guarded(settings: Settings, client: FlaskClient) -> FlaskClient:
    """A client of an application that asks for a token."""
    return create_app(dataclasses.replace(settings, api_token=TOKEN)).test_client()


TASK_REQUESTS = [
    ("GET", "/tasks"),
    ("POST", "/tasks"),
    ("GET", "/tasks/1"),
    ("PUT", "/tasks/1"),
    ("PATCH", "/tasks/1"),
    ("DELETE", "/tasks/1"),
    ("POST", "/tasks/1/refresh"),
]


@pytest.mark.parametrize(("method", "path"), TASK_REQUESTS)
@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        f"Bearer {TOKEN}x",
        f"Bearer {TOKEN[:-1]}",
        f"Basic {TOKEN}",
        TOKEN,
        "Bearer é",
    ],
)
def test_a_missing_or_wrong_token_is_401_with_a_challenge(
    guarded: FlaskClient, method: str, path: str, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = guarded.open(path, method=method, headers=headers, json=TASK)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="tasks"')
    assert set(response.get_json()) == {"code", "status", "message"}
    assert TOKEN not in response.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_lets_in(guarded: FlaskClient, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    assert guarded.post("/tasks", json=TASK, headers=headers).status_code == 201
    assert guarded.get("/tasks", headers=headers).status_code == 200


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/docs", "/openapi.json"])
def test_health_and_docs_ask_for_no_token(guarded: FlaskClient, path: str) -> None:
    assert guarded.get(path, buffered=True).status_code == 200


def test_the_document_declares_the_token_where_it_is_asked_for(
    guarded: FlaskClient, client: FlaskClient
) -> None:
    document = guarded.get("/openapi.json").get_json()
    (name,) = document["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"][name]["scheme"] == "bearer"
    assert document["security"] == [{name: []}]
    assert document["paths"]["/health/live"]["get"]["security"] == []
    assert "security" not in document["paths"]["/tasks"]["get"]
    assert "security" not in client.get("/openapi.json").get_json()


@pytest.mark.parametrize("host", ["localhost", "localhost:8000", "127.0.0.1:8000", "[::1]:8000"])
def test_a_host_of_this_machine_is_trusted_on_loopback(client: FlaskClient, host: str) -> None:
    assert client.get("/tasks", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "192.0.2.7", "a b", "/"]
)
@pytest.mark.parametrize("path", ["/tasks", "/docs", "/nope"])
def test_another_host_is_400_on_loopback(client: FlaskClient, host: str, path: str) -> None:
    response = client.get(path, headers={"Host": host})
    assert response.status_code == 400
    assert response.get_json()["code"] == 400


@pytest.mark.parametrize(
    ("environ", "host", "status"),
    [
        ({"TRUSTED_HOSTS": "a.example, .b.example"}, "a.example", 200),
        ({"TRUSTED_HOSTS": "a.example, .b.example"}, "A.Example:80", 200),
        ({"TRUSTED_HOSTS": "a.example, .b.example"}, "x.b.example", 200),
        ({"TRUSTED_HOSTS": "a.example, .b.example"}, "x.a.example", 400),
        ({"TRUSTED_HOSTS": "a.example, .b.example"}, "localhost", 400),
        ({"HOST": "0.0.0.0"}, "anything.example", 200),
        ({"HOST": "127.9.9.9"}, "127.9.9.9:8000", 200),
    ],
)
def test_trusted_hosts_are_those_of_the_settings(
    settings: Settings, client: FlaskClient, environ: dict[str, str], host: str, status: int
) -> None:
    chosen = load_settings(environ)
    own = dataclasses.replace(settings, host=chosen.host, trusted_hosts=chosen.trusted_hosts)
    response = create_app(own).test_client().get("/health/live", headers={"Host": host})
    assert response.status_code == status


@pytest.mark.parametrize("text", ["a b", "http://a.example", "a.example:80", ",", "*"])
def test_wrong_trusted_hosts_stop_the_start(text: str) -> None:
    with pytest.raises(ValueError, match="TRUSTED_HOSTS takes") as raised:
        load_settings({"TRUSTED_HOSTS": text})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("method", "path"), [r for r in TASK_REQUESTS if r[0] != "GET"])
@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense"])
def test_a_page_of_another_site_can_change_nothing(
    client: FlaskClient, method: str, path: str, site: str
) -> None:
    task: dict[str, Any] = client.post("/tasks", json=TASK).get_json()
    response = client.open(path, method=method, json=TASK, headers={"Sec-Fetch-Site": site})
    assert response.status_code == 403
    assert client.get("/tasks").get_json() == [task]


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_our_own_page_and_the_user_can(client: FlaskClient, site: str) -> None:
    response = client.post("/tasks", json=TASK, headers={"Sec-Fetch-Site": site})
    assert response.status_code == 201


def test_a_page_of_another_site_gets_no_leave_to_read(client: FlaskClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}
    for response in (
        client.get("/tasks", headers=headers),
        client.options("/tasks", headers={**headers, "Access-Control-Request-Method": "POST"}),
    ):
        assert response.status_code == 200
        assert not [name for name, _ in response.headers if name.startswith("Access-Control-")]
        assert response.headers["Cross-Origin-Resource-Policy"] == "same-origin"


@pytest.mark.parametrize("path", ["/tasks", "/docs", "/nope", "/health/live"])
def test_every_answer_has_the_security_headers(client: FlaskClient, path: str) -> None:
    headers = client.get(path, buffered=True).headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["X-Frame-Options"] == "DENY"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
