"""URLs: the path without a slash at its end, and what proxies say about host and prefix."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tracker.api.urls import ForwardedHeaders

TASK = {"title": "Read the docs", "repository": "pallets/flask"}
PROXY = "192.0.2.1"


def test_every_path_with_a_slash_redirects_to_the_one_without(
    client: FlaskClient, routes: Callable[[Flask], list[tuple[str, str]]]
) -> None:
    below_root = [route for route in routes(client.application) if route[1] != "/"]
    for method, path in below_root:
        path = path.format(name="swagger-ui.css", owner="pallets")
        response = client.open(f"{path}/?a=%26&a=b+c", method=method)
        assert response.status_code == 308, (method, path)
        assert response.headers["Location"] == f"{path}?a=%26&a=b+c"
        assert response.data == b""
        assert "Content-Type" not in response.headers
    assert client.get("/tasks/").headers["Location"] == "/tasks"
    assert client.get("/tasks/", follow_redirects=True).get_json() == []
    assert client.put("/tasks/", json=TASK).status_code == 405


@pytest.mark.parametrize("path", ["/nope/", "//evil.example/", "/tasks/x/", "/docs/nope.css/"])
def test_a_redirect_leads_to_a_path_of_this_service(client: FlaskClient, path: str) -> None:
    response = client.get("/", environ_overrides={"PATH_INFO": path})
    assert response.status_code in (308, 404)
    location = response.headers.get("Location", "/docs/")
    assert location.startswith("/")
    assert not location.startswith("//")


@pytest.mark.parametrize("path", ["/tasks//2", "/tasks///2"])
def test_a_path_with_repeated_slashes_redirects_as_others_do(
    client: FlaskClient, path: str
) -> None:
    response = client.get(f"http://localhost{path}?a=%26&a=b+c")
    assert response.status_code == 308
    assert response.headers["Location"] == "/tasks/2?a=%26&a=b+c"
    assert response.data == b""
    assert "Content-Type" not in response.headers
    prefixed = client.get(f"http://localhost{path}", environ_overrides={"SCRIPT_NAME": "/tracker"})
    assert prefixed.headers["Location"] == "/tracker/tasks/2"


ClientBehind = Callable[..., Callable[..., Any]]


@pytest.fixture
def behind(client: FlaskClient) -> ClientBehind:
    """Create a function that sends a GET from a peer, with the proxies that are named."""

    def behind(proxies: Sequence[str], peer: str = PROXY) -> Callable[..., Any]:
        seen: dict[str, Any] = {}
        app = client.application
        wsgi_app = app.wsgi_app

        def record(environ: dict[str, Any], start_response: Any) -> Any:
            seen.update(environ)
            return wsgi_app(environ, start_response)

        app.wsgi_app = ForwardedHeaders(record, proxies)  # type: ignore[method-assign]

        def get(path: str = "/tasks?limit=1", **headers: str) -> Any:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            response = client.get(path, headers=named, environ_overrides={"REMOTE_ADDR": peer})
            app.wsgi_app = wsgi_app  # type: ignore[method-assign]
            return response, seen["REMOTE_ADDR"]

        return get

    return behind


FORWARDED = {
    "X_Forwarded_For": "203.0.113.9",
    "X_Forwarded_Host": "localhost:8443",
    "X_Forwarded_Prefix": "/tracker",
}


@pytest.mark.parametrize(
    ("proxies", "peer", "link", "address"),
    [
        ([PROXY], PROXY, "http://localhost:8443/tracker/tasks", "203.0.113.9"),
        (["10.0.0.1", "192.0.2.0/24"], PROXY, "http://localhost:8443/tracker/tasks", "203.0.113.9"),
        (["2001:db8::/32"], "2001:db8::1", "http://localhost:8443/tracker/tasks", "203.0.113.9"),
        (["*"], PROXY, "http://localhost/tracker/tasks", "203.0.113.9"),
        (["0.0.0.0/0"], PROXY, "http://localhost/tracker/tasks", "203.0.113.9"),
        ([], "", "http://localhost:8443/tracker/tasks", "203.0.113.9"),  # a Unix socket
        ([], PROXY, "http://localhost/tasks", PROXY),
        (["192.0.2.2"], PROXY, "http://localhost/tasks", PROXY),
        (["192.0.2.2"], "garbage", "http://localhost/tasks", "garbage"),
    ],
)
def test_only_a_named_proxy_sets_host_prefix_and_address(
    client: FlaskClient,
    behind: ClientBehind,
    proxies: list[str],
    peer: str,
    link: str,
    address: str,
) -> None:
    client.post("/tasks", json=TASK), client.post("/tasks", json=TASK)
    response, seen = behind(proxies, peer)(**FORWARDED)
    assert response.headers["Link"].startswith(f"<{link}?limit=1&cursor=")
    assert seen == address


@pytest.mark.parametrize(
    ("proto", "scheme"),
    [
        ("https", "https"),
        ("HTTPS", "https"),
        ("https, https", "https"),
        ("http,https", "https"),  # the nearest proxy's, as of the host
        ("https, http", "http"),
        ("wss", "http"),
        ("https, ", "http"),
    ],
)
def test_the_scheme_is_that_of_the_nearest_proxy(
    client: FlaskClient, behind: ClientBehind, proto: str, scheme: str
) -> None:
    client.post("/tasks", json=TASK), client.post("/tasks", json=TASK)
    for proxies, found in (([PROXY], scheme), (["*"], scheme), (["192.0.2.2"], "http")):
        response, _ = behind(proxies)(X_Forwarded_Proto=proto)
        assert response.headers["Link"].startswith(f"<{found}://localhost/tasks?")


def test_the_forwarded_host_must_be_trusted_too(behind: ClientBehind) -> None:
    response, _ = behind([PROXY])(X_Forwarded_Host="evil.example", Host="localhost")
    assert (response.status_code, response.get_json()["reason"]) == (400, "host_not_trusted")
    response, _ = behind([PROXY])(X_Forwarded_Host="localhost", Host="upstream")
    assert response.status_code == 200
    response, _ = behind(["*"])(X_Forwarded_Host="localhost", Host="evil.example")
    assert response.status_code == 400


@pytest.mark.parametrize(
    ("prefix", "location"),
    [
        ("/tracker", "/tracker/tasks"),
        ("/a/b-c_d.e/", "/a/b-c_d.e/tasks"),
        ("/", "/tasks"),
        ("", "/tasks"),
        ("tracker", "/tasks"),
        ("//evil.example", "/tasks"),
        ("/a//b", "/tasks"),
        ("/a b", "/tasks"),
        ("/a?b", "/tasks"),
        ("/é", "/tasks"),
        ("https://evil.example/", "/tasks"),
    ],
)
def test_a_prefix_is_a_path_and_nothing_else(
    behind: ClientBehind, prefix: str, location: str
) -> None:
    response, _ = behind([PROXY])("/tasks/", X_Forwarded_Prefix=prefix)
    assert (response.status_code, response.headers["Location"]) == (308, location)


@pytest.mark.parametrize(
    ("addresses", "client_address"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("6.6.6.6, 203.0.113.9", "203.0.113.9"),  # what a client sent itself is not believed
        ("6.6.6.6, 203.0.113.9, 192.0.2.7", "203.0.113.9"),  # through two of our proxies
        ("192.0.2.7", "192.0.2.7"),
        ("", PROXY),
    ],
)
def test_the_address_is_the_last_before_our_proxies(
    behind: ClientBehind, addresses: str, client_address: str
) -> None:
    assert behind(["192.0.2.0/24"])(X_Forwarded_For=addresses)[1] == client_address


def test_every_response_says_how_it_may_be_cached(client: FlaskClient) -> None:
    task = client.post("/tasks", json=TASK)
    path = task.headers["Location"]
    fresh = {"If-None-Match": '"1"'}
    found = {
        (method, url): client.open(url, method=method, headers=headers, json=None, buffered=True)
        for method, url, headers in (
            ("GET", path, {}),
            ("HEAD", path, fresh),
            ("GET", "/tasks", {}),
            ("GET", "/nope", {}),
            ("GET", "/tasks/", {}),
            ("DELETE", path, {"If-Match": '"9"'}),
            ("GET", "/health/ready", {}),
            ("GET", "/openapi.json", {}),
            ("GET", "/docs", {}),
            ("GET", "/docs/docs.js", {}),
            ("GET", "/docs/swagger-ui.css", {}),
        )
    }
    assert found["HEAD", path].status_code == 304
    caching = {key: response.headers["Cache-Control"] for key, response in found.items()}
    assert caching.pop(("GET", path)) == "private, no-cache"
    assert caching.pop(("HEAD", path)) == "private, no-cache"
    assert caching.pop(("GET", "/docs")) == "no-cache"
    assert caching.pop(("GET", "/docs/docs.js")) == "no-cache"
    assert caching.pop(("GET", "/docs/swagger-ui.css")) == "public, max-age=3600"
    assert set(caching.values()) == {"no-store"}
