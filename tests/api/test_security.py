"""Access: the token, and the headers that browsers get."""

import re
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient
from hypothesis import given
from hypothesis import strategies as st

TASK = {"title": "Read the docs", "repository": "pallets/flask"}
TOKEN = "correct-horse-battery-staple"
PUBLIC = {"/health/live", "/health/ready", "/docs", "/docs/docs.js", "/docs/{name}"}
PUBLIC |= {"/openapi.json", "/web/login", "/web/static/{name}"}


@pytest.fixture
def guarded(client_with: Callable[..., FlaskClient]) -> FlaskClient:
    """A client of an application with an API_TOKEN."""
    return client_with(api_token=TOKEN)


def test_every_route_but_health_and_docs_needs_the_token(
    guarded: FlaskClient, routes: Callable[..., list[tuple[str, str]]]
) -> None:
    @guarded.application.get("/broken")
    def broken() -> str:
        return "a view that somebody adds"

    served = routes(guarded.application)
    assert len(served) > 20
    assert {path for _, path in served} > PUBLIC
    served.remove(("POST", "/web/login"))  # it is public, and refuses a wrong token
    for method, path in [*served, ("GET", "/nope"), ("GET", "/tasks/"), ("GET", "/tasks/1/")]:
        status = guarded.open(path, method=method, json=TASK, buffered=True).status_code
        assert (status == 401) == (path not in PUBLIC), (method, path)


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
    guarded: FlaskClient, authorization: str | None
) -> None:
    headers = {} if authorization is None else {"Authorization": authorization}
    response = guarded.post("/tasks", headers=headers, json=TASK)
    assert response.status_code == 401
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="tasks"')
    bearer = authorization is not None and re.match("Bearer .", authorization)
    assert response.get_json()["reason"] == ("token_wrong" if bearer else "token_missing")
    assert TOKEN not in response.text


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_token_is_accepted(guarded: FlaskClient, scheme: str) -> None:
    headers = {"Authorization": f"{scheme} {TOKEN}"}
    assert guarded.post("/tasks", json=TASK, headers=headers).status_code == 201
    assert guarded.get("/tasks", headers=headers).status_code == 200


def test_each_of_several_tokens_is_accepted(client_with: Callable[..., FlaskClient]) -> None:
    client = client_with(api_token="old,new,other")
    statuses = {
        token: client.get("/tasks", headers={"Authorization": f"Bearer {token}"}).status_code
        for token in ("old", "new", "other", "old,new", "old,new,other", "o", ",")
    }
    accepted = {token for token, status in statuses.items() if status == 200}
    assert accepted == {"old", "new", "other"}
    assert {statuses[token] for token in statuses.keys() - accepted} == {401}


def test_the_document_declares_the_token_if_there_is_one(
    guarded: FlaskClient, client: FlaskClient
) -> None:
    document = guarded.get("/openapi.json").get_json()
    (name,) = document["components"]["securitySchemes"]
    assert document["components"]["securitySchemes"][name]["scheme"] == "bearer"
    assert document["security"] == [{name: []}]
    assert document["paths"]["/health/live"]["get"]["security"] == []
    assert "security" not in document["paths"]["/tasks"]["get"]
    assert client.get("/openapi.json").get_json()["security"] == [{name: []}, {}]


HEADERS = ["Host", "Origin", "Sec-Fetch-Site", "Authorization", "If-Match", "If-None-Match"]
HEADERS += ["Idempotency-Key", "Content-Type", "X-Request-ID", "X-Forwarded-Host"]
HEADERS += ["X-Forwarded-For", "X-Forwarded-Prefix"]


@given(
    name=st.sampled_from(HEADERS),
    value=st.text(st.characters(max_codepoint=255, exclude_categories=["Cc"]), max_size=30)
    | st.text('[]:/@#%,;"*W= 1', max_size=12).map("http://".__add__),
)
def test_any_bytes_in_any_header_are_no_500(guarded: FlaskClient, name: str, value: str) -> None:
    for method in ("GET", "POST", "PATCH"):
        path = "/tasks" if method == "POST" else "/tasks/1"
        headers = {"Authorization": f"Bearer {TOKEN}", name: value}
        assert guarded.open(path, method=method, json={}, headers=headers).status_code < 500


def test_every_response_has_the_security_headers(guarded: FlaskClient) -> None:
    statuses = set()
    for path, sent in [
        *((path, {}) for path in ("/tasks", "/docs", "/health/live", "/openapi.json")),
        ("/docs", {"Host": "evil.example"}),
        ("/health/live", {"Origin": "https://evil.example"}),
        ("/nope", {"Authorization": f"Bearer {TOKEN}"}),
    ]:
        response = guarded.get(path, headers=sent, buffered=True)
        statuses.add(response.status_code)
        headers = response.headers
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["X-Frame-Options"] == "DENY"
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
    assert statuses == {200, 400, 401, 403, 404}
