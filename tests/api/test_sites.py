"""Hosts and sites: which names the service responds to, and to pages of which sites."""

import socket
from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

TASK = {"title": "Read the docs", "repository": "pallets/flask"}
EVIL = "https://evil.example"
ClientWith = Callable[..., FlaskClient]

HERE = [
    "localhost",
    "LOCALHOST:8000",
    "localhost.",
    "localhost.:8000",
    "127.0.0.1:8000",
    "192.0.2.7",
    "[::1]:8000",
    "[2001:db8::7]",
]
ELSEWHERE = [
    *("evil.example", "evil.example:8000", "localhost.evil.example", "127.0.0.1.evil.example"),
    *("localhost..", ".localhost", "."),
    *("2130706433", "a b", "/", "", "[::1", "[::1].evil.example", "evil.example#localhost"),
]


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0", "::", "192.0.2.7"])
@pytest.mark.parametrize("trusted", [(), ("a.example",)])
def test_addresses_and_this_machine_are_trusted_on_any_host(
    client_with: ClientWith, address: str, trusted: tuple[str, ...]
) -> None:
    client = client_with(host=address, trusted_hosts=trusted)
    for host in [*HERE, socket.gethostname(), *trusted]:
        assert client.get("/tasks", headers={"Host": host}).status_code == 200, host


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])
@pytest.mark.parametrize("path", ["/tasks", "/docs", "/nope"])
def test_other_names_are_400_on_any_host(client_with: ClientWith, address: str, path: str) -> None:
    client = client_with(host=address)
    for host in ELSEWHERE:
        response = client.get(path, headers={"Host": host})
        assert response.status_code == 400, host
        assert response.get_json()["message"].startswith(f'Host "{host}" is not ')


@pytest.mark.parametrize(
    ("host", "message"),
    [
        ("evil.example", "is not trusted; add it to TRUSTED_HOSTS"),
        ("evil.example:80", 'is not trusted; add "evil.example" to TRUSTED_HOSTS'),
        ("a b", "is not a host name; send the name of this service."),
        ("", "is not a host name; send the name of this service."),
    ],
)
def test_an_untrusted_host_is_named_as_the_setting_takes_it(
    client: FlaskClient, host: str, message: str
) -> None:
    response = client.get("/tasks", headers={"Host": host})
    assert response.get_json()["message"].startswith(f'Host "{host}" {message}')


def test_an_untrusted_host_is_shown_escaped_and_cut(client: FlaskClient) -> None:
    for host, shown in (
        ('"\t', r'"\"\t"'),
        ("é" * 9, '"' + r"\u00e9" * 9 + '"'),
        ("x" * 5_000, "x"),
    ):
        response = client.get("/tasks", headers={"Host": host})
        message = response.get_json()["message"]
        assert shown in message
        assert len(message) < 300


@pytest.mark.parametrize("path", ["/health/live", "/health/ready"])
def test_health_checks_mind_no_host_but_pages_of_other_sites(
    client: FlaskClient, path: str
) -> None:
    for host in ("evil.example", "10.0.0.1:8000", "a_b", "a b", ""):
        assert client.get(path, headers={"Host": host}).status_code == 200
        headers = {"Host": host, "Sec-Fetch-Site": "cross-site"}
        assert client.get(path, headers=headers).status_code == 403


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("a.example", 200),
        ("A.Example:80", 200),
        ("a.example.", 200),
        ("a.example..", 400),
        ("x.a.example", 400),
        ("xa.example", 400),
        ("b.example", 200),
        ("x.y.b.example", 200),
        ("xb.example", 400),
        ("tracker.internal", 200),
        ("evil.example", 400),
    ],
)
def test_trusted_hosts_are_names_or_domains(
    client_with: ClientWith, host: str, status: int
) -> None:
    client = client_with(host="tracker.internal", trusted_hosts=("a.example", ".b.example"))
    assert client.get("/tasks", headers={"Host": host}).status_code == status


def test_x_forwarded_host_does_not_replace_the_host(client: FlaskClient) -> None:
    client.post("/tasks", json=TASK), client.post("/tasks", json=TASK)
    rebound = {"Host": "evil.example", "X-Forwarded-Host": "localhost"}
    assert client.get("/tasks", headers=rebound).status_code == 400
    response = client.get("/tasks?limit=1", headers={"X-Forwarded-Host": "evil.example"})
    assert response.headers["Link"].startswith("<http://localhost/tasks?")


@pytest.mark.parametrize("site", ["cross-site", "same-site", "nonsense", ""])
def test_a_page_of_another_site_can_neither_write_nor_read(
    client: FlaskClient, routes: Callable[..., list[tuple[str, str]]], site: str
) -> None:
    task = client.post("/tasks", json=TASK).get_json()
    for method, path in [*routes(client.application), ("GET", "/nope")]:
        path = path.replace("/1", f"/{task['id']}")
        response = client.open(path, method=method, json=TASK, headers={"Sec-Fetch-Site": site})
        assert response.status_code == 403, (method, path)
        assert not [name for name, _ in response.headers if name.startswith("Access-Control-")]
    assert client.get("/tasks").get_json() == [task]


NAVIGATION = {
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Dest": "document",
}


@pytest.mark.parametrize(
    ("method", "path", "changed", "status"),
    [
        ("GET", "/docs", {}, 200),
        ("GET", "/docs", {"Sec-Fetch-Site": "same-site"}, 200),
        ("GET", "/docs", {"Sec-Fetch-Dest": "iframe"}, 403),
        ("GET", "/docs", {"Sec-Fetch-Mode": "no-cors"}, 403),
        ("HEAD", "/docs", {}, 403),
        ("POST", "/docs", {}, 403),
        ("GET", "/docs/docs.js", {}, 403),
        ("GET", "/openapi.json", {}, 403),
        ("GET", "/tasks", {}, 403),
        ("POST", "/tasks", {}, 403),
    ],
)
def test_another_site_may_navigate_to_the_docs_alone(
    client: FlaskClient, method: str, path: str, changed: dict[str, str], status: int
) -> None:
    headers = NAVIGATION | changed
    response = client.open(path, method=method, json=TASK, headers=headers, buffered=True)
    assert response.status_code == status


@pytest.mark.parametrize(
    ("headers", "allowed"),
    [
        ({}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, True),
        ({"Sec-Fetch-Site": "none"}, True),
        ({"Origin": "http://localhost"}, True),
        ({"Origin": "https://LOCALHOST"}, True),
        ({"Host": "[::1]:8000", "Origin": "http://[::1]:8000"}, True),
        ({"Host": "localhost:80", "Origin": "http://localhost"}, True),
        ({"Origin": "null"}, False),
        ({"Origin": ""}, False),
        ({"Origin": EVIL}, False),
        ({"Origin": "http://localhost:81"}, False),
        ({"Origin": "http://localhost.evil.example"}, False),
        ({"Origin": "http://localhost@evil.example"}, False),
        ({"Origin": "http://["}, False),
        ({"Origin": f"http://localhost, {EVIL}"}, False),
        ({"Origin": EVIL, "X-Forwarded-Host": "evil.example"}, False),
    ],
)
def test_without_sec_fetch_site_the_origin_decides(
    client: FlaskClient, headers: dict[str, str], allowed: bool
) -> None:
    assert client.get("/tasks", headers=headers).status_code == (200 if allowed else 403)
    response = client.post("/tasks", json=TASK, headers=headers)
    assert response.status_code == (201 if allowed else 403)
    response = client.post(f"/tasks/{2**63 - 1}/refresh", headers=headers)
    assert response.status_code == (404 if allowed else 403)
